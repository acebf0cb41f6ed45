import type { Address } from "../net/address.ts";
import { macOfName } from "../net/mac.ts";
import type { ClusterNode, NodeFault } from "../net/node.ts";
import type { Prefix } from "../net/prefix.ts";

/** MAC of a node's tunnel endpoint, from its name alone: nobody has to publish it. */
export function tunnelMac(node: string): string {
  return macOfName(`tunnel endpoint of ${node}`);
}

/** The MACs of Nodes that are known: with thousands of them the hashes count. */
const macs = new WeakMap<ClusterNode, string>();

/** As {@link tunnelMac}, reckoned once for a Node. */
export function tunnelMacOf(node: ClusterNode): string {
  const known = macs.get(node);
  if (known !== undefined) return known;
  const mac = tunnelMac(node.name);
  macs.set(node, mac);
  return mac;
}

/**
 * A node's address in the tunnel for one of its pod CIDRs: the network address itself, which no pod gets (flannel does
 * so as well).
 */
export function tunnelAddress(podCidr: Prefix): Address {
  return podCidr.address;
}

/**
 * The next hop of a route into the tunnel: it only has to be a neighbour there. For IPv6 a link-local address with the
 * peer's MAC in it (RFC 4291 app. A), since the kernel refuses a global one as long as any route but a default one
 * leads to it by another link, be it the direct route that is to be replaced (ip6_route_check_nh_onlink of
 * net/ipv6/route.c).
 */
export function tunnelNextHop(mac: string, podCidr: Prefix): Address {
  if (podCidr.address.family === 4) return tunnelAddress(podCidr);
  const octets = mac.split(":").map((octet) => BigInt(`0x${octet}`));
  const [first = 0n, second = 0n, third = 0n, ...rest] = octets;
  const bytes = [first ^ 2n, second, third, 0xffn, 0xfen, ...rest];
  return { family: 6, value: bytes.reduce((value, byte) => (value << 8n) | byte, 0xfe80n << 48n) };
}

/** Nodes whose names give one MAC (40 bits of hash): the later one can't be told from the earlier. */
export function findMacFaults(nodes: readonly ClusterNode[]): NodeFault[] {
  const owners = new Map<string, string>();
  const faults: NodeFault[] = [];
  for (const node of nodes) {
    const mac = tunnelMacOf(node);
    const owner = owners.get(mac);
    if (owner === undefined) owners.set(mac, node.name);
    else faults.push({ node: node.name, message: `has the tunnel MAC ${mac} of node ${owner}` });
  }
  return faults;
}
