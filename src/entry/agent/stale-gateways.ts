import { DEFAULT_BRIDGE } from "../../cni/config.ts";
import type { Host } from "../../host/machine.ts";
import { readRecord, recordedAttachments } from "../../host/records.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { contains, overlaps, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { HOST, type Plan } from "../../plan/step.ts";
import { findPublished } from "../node.ts";
import type { KnownNetwork } from "./networks.ts";

/**
 * The plan that takes gateway addresses of an earlier pod CIDR from `minicni0`: the kernel's route to it would keep ours
 * to the peer that has the CIDR now from coming. What the present pod CIDRs, the ranges of a known network or any
 * record, finished or not, still need stays; so does everything while no pod CIDR is published. `ranges`: of all known
 * networks.
 */
export function planStaleGateways(
  networks: readonly KnownNetwork[],
  ranges: readonly Prefix[],
  host: Host,
  stateDir: string,
): Plan {
  const link = host.link(DEFAULT_BRIDGE);
  const published = findPublished(stateDir, host);
  if (link?.kind !== "bridge" || published === null || published.podCidrs.length === 0) return [];
  const needed = [...published.podCidrs.flatMap((cidr) => parsePrefix(cidr) ?? []), ...ranges];
  const isNeeded = (prefix: Prefix) => needed.some((other) => overlaps(prefix, other));
  const unneeded = host
    .addresses(link.index)
    .filter(({ prefix, linkLocal }) => !linkLocal && !isNeeded(prefix));
  if (unneeded.length === 0) return [];
  const used = networks.flatMap(({ conf }) =>
    recordedAttachments(host, conf.stateDir, conf.network).flatMap((key) =>
      (readRecord(host, conf.stateDir, key)?.addresses ?? []).flatMap((text): Address[] => {
        const address = parseAddress(text);
        return address === null ? [] : [address];
      }),
    ),
  );
  return unneeded
    .filter(({ prefix }) => !used.some((address) => contains(prefix, address)))
    .map(({ prefix }) => ({
      op: "addr.del" as const,
      dev: DEFAULT_BRIDGE,
      prefix,
      netns: HOST,
      why: "gateway of a pod CIDR that this node had before",
    }));
}
