import type { Address } from "../net/address.ts";
import { contains, overlaps, type Prefix, parsePrefix } from "../net/prefix.ts";

interface SpecialRange {
  readonly prefix: Prefix;
  readonly what: string;
}

const range = (text: string, what: string): SpecialRange[] => {
  const prefix = parsePrefix(text);
  return prefix === null ? [] : [{ prefix, what }];
};

/**
 * What no other node can reach, and so neither a node address nor a pod CIDR can be: the addresses that kubelet
 * itself refuses (validateNodeIP in pkg/kubelet/kubelet_node_status.go: loopback, multicast, link-local, unspecified), IPv4
 * in IPv6 form (RFC 4291 §2.5.5: the kernel routes no such destination), and the broadcast address. 240.0.0.0/4 is
 * not here: Linux routes it, and clusters use it.
 */
const SPECIAL: readonly SpecialRange[] = [
  ...range("0.0.0.0/8", "unspecified"),
  ...range("127.0.0.0/8", "loopback"),
  ...range("169.254.0.0/16", "link-local"),
  ...range("224.0.0.0/4", "multicast"),
  ...range("255.255.255.255/32", "broadcast"),
  ...range("::/128", "unspecified"),
  ...range("::1/128", "loopback"),
  ...range("::ffff:0:0/96", "IPv4-mapped"),
  ...range("fe80::/10", "link-local"),
  ...range("ff00::/8", "multicast"),
];

/** Why an address can't be a node address ("loopback"); null when it can. */
export function oddAddress(address: Address): string | null {
  return SPECIAL.find(({ prefix }) => contains(prefix, address))?.what ?? null;
}

/** Why a network can't be a pod CIDR: it shares addresses with what is no unicast range, as 0.0.0.0/0 does; else null. */
export function oddNetwork(network: Prefix): string | null {
  if (network.length === 0) return "everything";
  return SPECIAL.find(({ prefix }) => overlaps(prefix, network))?.what ?? null;
}
