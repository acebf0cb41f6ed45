import { type Address, type Family, formatAddress } from "../net/address.ts";
import type { ClusterNode, NodeFault } from "../net/node.ts";
import type { Prefix } from "../net/prefix.ts";
import type { RouteLookup } from "../plan/state.ts";
import { tunnelMacOf, tunnelNextHop } from "./endpoint.ts";

/** How peers' pods are reached: by their node address on the same link, through a VXLAN tunnel, or each as it can be. */
export const BACKENDS = ["auto", "host-gw", "vxlan"] as const;
export type Backend = (typeof BACKENDS)[number];

/** The way to one pod CIDR of a peer. */
export type Path = {
  readonly peer: ClusterNode;
  readonly dst: Prefix;
} & (
  | { readonly kind: "direct"; readonly via: Address; readonly ifindex: number }
  /** `underlay`: family of the outer packets, sent to `remote`; `mac` and `nextHop`: of the peer in the tunnel. */
  | {
      readonly kind: "tunnel";
      readonly underlay: Family;
      readonly remote: Address;
      readonly mac: string;
      readonly nextHop: Address;
    }
);

/** The ways to all peers; what is wrong with one leaves the others as they are. */
export interface Paths {
  readonly paths: readonly Path[];
  readonly faults: readonly NodeFault[];
}

/** What `ip route get` says of a peer's address; null: unreachable; undefined: was not asked. */
export type Lookup = (address: Address) => RouteLookup | null | undefined;

type Choice = { readonly path: Path } | { readonly fault: string };

/**
 * Chooses the way to every pod CIDR of every peer. `auto` goes direct where the kernel would send to the peer's address
 * of the same family without a gateway (a router in between would not know the pod CIDR), else through the tunnel. The
 * tunnel's outer packets have the pod CIDR's family where both nodes have an address of it, else the other one: VXLAN
 * carries either in either.
 */
export function choosePaths(
  peers: readonly ClusterNode[],
  self: ClusterNode,
  backend: Backend,
  lookup: Lookup,
): Paths {
  const paths: Path[] = [];
  const faults: NodeFault[] = [];
  for (const peer of peers) {
    const messages = new Set<string>();
    for (const dst of peer.podCidrs) {
      const choice = choosePath(peer, dst, self, backend, lookup);
      if ("path" in choice) paths.push(choice.path);
      else messages.add(choice.fault);
    }
    for (const message of messages) faults.push({ node: peer.name, message });
  }
  return { paths, faults };
}

function choosePath(
  peer: ClusterNode,
  dst: Prefix,
  self: ClusterNode,
  backend: Backend,
  lookup: Lookup,
): Choice {
  const { family } = dst.address;
  const via = addressOf(peer, family);
  const found = via === null ? null : lookup(via);
  if (via !== null && found?.isLocal === true)
    return { fault: `its InternalIP ${formatAddress(via)} is an address of this node too` };
  if (backend !== "vxlan" && via !== null && found && found.gateway === null)
    return { path: { peer, dst, kind: "direct", via, ifindex: found.ifindex } };
  if (backend === "host-gw") return { fault: whyNotDirect(via, family, found ?? null) };
  for (const underlay of [family, family === 4 ? 6 : 4] as const) {
    const remote = addressOf(peer, underlay);
    if (remote === null || addressOf(self, underlay) === null) continue;
    const mac = tunnelMacOf(peer);
    return { path: { peer, dst, kind: "tunnel", underlay, remote, mac, nextHop: tunnelNextHop(mac, dst) } };
  }
  return { fault: "has no InternalIP of a family that this node has one of" };
}

function whyNotDirect(via: Address | null, family: Family, found: RouteLookup | null): string {
  if (via === null) return `has an IPv${family} pod CIDR and no IPv${family} InternalIP`;
  if (found === null)
    return `its InternalIP ${formatAddress(via)} is unreachable: this node has no route to it`;
  const gateway = found.gateway === null ? "?" : formatAddress(found.gateway);
  return `its InternalIP ${formatAddress(via)} is behind gateway ${gateway}, which does not know its pod CIDR: use backend auto or vxlan`;
}

/** The node address of a family: the first InternalIP of it. */
export function addressOf(node: ClusterNode, family: Family): Address | null {
  return node.addresses.find((address) => address.family === family) ?? null;
}
