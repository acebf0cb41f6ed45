import type { Host } from "../../host/machine.ts";
import { FAMILIES, type Family, formatAddress, isSameAddress } from "../../net/address.ts";
import { isPodLinkName } from "../../net/ifname.ts";
import type { ClusterNode } from "../../net/node.ts";
import type { ObservedLink } from "../../plan/state.ts";
import { addressOf } from "../../topology/path.ts";
import { TUNNEL_NAMES } from "../../topology/tunnel.ts";

/** The links that hold the node addresses, by family; one that no link holds is told. */
export interface Underlay {
  readonly links: ReadonlyMap<Family, ObservedLink>;
  readonly faults: readonly string[];
}

/**
 * Finds the links of the node addresses among all links. Where a cloud translates the InternalIP, no link has it: then
 * only what is derived from the link (the MTU) has to be guessed.
 */
export function observeUnderlay(self: ClusterNode, links: readonly ObservedLink[], host: Host): Underlay {
  const found = new Map<Family, ObservedLink>();
  const faults: string[] = [];
  const tunnels: readonly string[] = Object.values(TUNNEL_NAMES);
  const candidates = links.filter(({ name }) => !isPodLinkName(name) && !tunnels.includes(name));
  for (const family of FAMILIES) {
    const address = addressOf(self, family);
    if (address === null) continue;
    const link = candidates.find(({ index }) =>
      host.addresses(index).some(({ prefix }) => isSameAddress(prefix.address, address)),
    );
    if (link !== undefined) found.set(family, link);
    else faults.push(`InternalIP ${formatAddress(address)} of this Node is on no link of this machine`);
  }
  return { links: found, faults };
}
