import type { Family } from "../../net/address.ts";
import { formatPrefix, type Prefix } from "../../net/prefix.ts";
import type { ObservedLink } from "../../plan/state.ts";
import { MIN_IPV6_MTU } from "../../topology/attachment.ts";
import type { Path } from "../../topology/path.ts";
import { TUNNEL_OVERHEAD, type TunnelDevice } from "../../topology/tunnel.ts";

/** Bytes of Ethernet, where the link of the node address is not to be found. */
export const ETHERNET_MTU = 1500;

/**
 * Why pods can't have this MTU; null when they can. Below 1280 bytes the kernel takes IPv6 from a link, so that no pod
 * could get its addresses, and those that are there would lose theirs. `chosen`: the setting in bytes, 0 when `mtu` was
 * detected.
 */
export function describeMtuFault(mtu: number, chosen: number, podCidrs: readonly Prefix[]): string | null {
  const ipv6 = podCidrs.filter(({ address }) => address.family === 6);
  if (mtu >= MIN_IPV6_MTU || ipv6.length === 0) return null;
  const cidrs = ipv6.map(formatPrefix).join(", ");
  const what = chosen === 0 ? "detected by the link with the node's address" : "by MINICNI_MTU or --mtu";
  // Less what a tunnel takes, where a peer is behind one: the link lacks as much as pods do.
  const way =
    chosen === 0
      ? `raise the MTU of that link by ${MIN_IPV6_MTU - mtu} bytes or more`
      : `set it to ${MIN_IPV6_MTU} or more, or to 0, which detects it`;
  return `the MTU of pods is ${mtu} (${what}), and IPv6, of which this Node has the pod CIDR ${cidrs}, needs at least ${MIN_IPV6_MTU} (RFC 8200): ${way}`;
}

/**
 * The tunnel's MTU counts once a peer is behind it: until then pods may use the whole link. The device has 1280 for IPv6
 * on a narrower link too: by IPv4 its packets go in fragments then, by IPv6 the kernel drops what it only forwards.
 */
export function leastMtu(
  paths: readonly Path[],
  devices: readonly TunnelDevice[],
  links: ReadonlyMap<Family, ObservedLink>,
): number {
  const direct = [...links.values()].map(({ mtu }) => mtu);
  const tunnelled = devices
    .filter(({ underlay }) => paths.some((path) => path.kind === "tunnel" && path.underlay === underlay))
    .map(({ underlay, link }) => {
      const room = (links.get(underlay)?.mtu ?? ETHERNET_MTU) - TUNNEL_OVERHEAD[underlay];
      return underlay === 6 ? Math.min(link.mtu, room) : link.mtu;
    });
  const known = [...direct, ...tunnelled];
  return known.length === 0 ? ETHERNET_MTU : Math.min(...known);
}
