import { formatPrefix, type Prefix } from "../../net/prefix.ts";
import { MIN_IPV6_MTU } from "../../topology/attachment.ts";

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
