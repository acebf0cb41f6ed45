import type { Address, Family } from "../../../net/address.ts";
import type { ClusterNode } from "../../../net/node.ts";
import type { Prefix } from "../../../net/prefix.ts";
import { RouteTable, RTN_UNICAST } from "../../../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../../plan/step.ts";

/** As many nodes as 10.0.0.0/8 has pod CIDRs of 24 bits. */
export const MAX_NODES = 1 << 16;

/** The node network that all nodes are in: 172.16.0.0/12 and fd00:172::/64, clear of all pods. */
const UNDERLAY: Readonly<Record<Family, Prefix>> = {
  4: { address: { family: 4, value: 0xac10_0000n }, length: 12 },
  6: { address: { family: 6, value: 0xfd00_0172n << 96n }, length: 64 },
};
/** 10.0.0.0 and fd00:10::, where pod CIDRs begin. */
const PODS = { 4: 0x0a00_0000n, 6: 0xfd00_0010n << 96n } as const;
/** Hosts of the node network behind which the kernel's own routes lead; neither nodes nor moved ones are there. */
const KERNEL_HOSTS = [0x8_0000, 0x8_0100] as const;

/** A node's address in the node network; `host` counts from 1. */
export function nodeAddress(family: Family, host: number): Address {
  return { family, value: UNDERLAY[family].address.value + BigInt(host) };
}

/** The same as the link that is to hold it has it. */
export function nodePrefix(family: Family, host: number): Prefix {
  return { address: nodeAddress(family, host), length: UNDERLAY[family].length };
}

/** Pod CIDR number `index` of a family: a /24 or a /64. */
function podCidr(family: Family, index: number): Prefix {
  const value = PODS[family] + (BigInt(index) << (family === 4 ? 8n : 64n));
  return { address: { family, value }, length: family === 4 ? 24 : 64 };
}

/** `count` nodes of one size each, `node0` … , as a cluster has them; 1 … MAX_NODES. */
export function describeCluster(count: number, families: readonly Family[]): ClusterNode[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `node${index}`,
    podCidrs: families.map((family) => podCidr(family, index)),
    addresses: families.map((family) => nodeAddress(family, index + 1)),
  }));
}

/** The same node at another address, one that no node of {@link describeCluster} has. */
export function moveNode(node: ClusterNode, places: number): ClusterNode {
  return {
    ...node,
    addresses: node.addresses.map(({ family, value }) => ({
      family,
      value: value + BigInt(MAX_NODES + places),
    })),
  };
}

/** Routes of ours to the pods of all nodes but the first, each by its node address. */
export function packRoutes(nodes: readonly ClusterNode[], ifindex: number): RouteTable {
  const table = new RouteTable(nodes.length * 2);
  for (const { podCidrs, addresses } of nodes.slice(1)) {
    for (const dst of podCidrs) {
      const via = addresses.find(({ family }) => family === dst.address.family) ?? null;
      const rest = { ifindex, metric: null, isOnlink: false, type: RTN_UNICAST, protocol: ROUTE_PROTOCOL };
      table.push({ dst, via, ...rest });
    }
  }
  return table;
}

/** The same routes in the order of a dump: IPv4 before IPv6, each by destination, behind four of the kernel's own. */
export function dumpOf(routes: RouteTable): RouteTable {
  const table = new RouteTable(routes.count + 4);
  const all = Array.from({ length: routes.count }, (_, index) => routes.at(index));
  for (const family of [4, 6] as const) {
    for (const host of KERNEL_HOSTS) {
      const dst = { address: nodeAddress(family, host), length: family === 4 ? 24 : 120 };
      table.push({
        dst,
        via: null,
        ifindex: 2,
        metric: null,
        isOnlink: false,
        type: RTN_UNICAST,
        protocol: 2,
      });
    }
    for (const route of all) if (route.dst.address.family === family) table.push(route);
  }
  return table;
}
