import { type Address, FAMILIES, formatAddress, parseAddress } from "../net/address.ts";
import type { ClusterNode, NodeFault, NodeSnapshot } from "../net/node.ts";
import {
  contains,
  formatPrefix,
  hasHostBits,
  hostPrefix,
  overlaps,
  type Prefix,
  parsePrefix,
} from "../net/prefix.ts";
import { openClaims } from "./claims.ts";
import { type HeldAddress, openAddressIndex } from "./covered.ts";
import type { NodeFields } from "./node-fields.ts";
import { oddAddress, oddNetwork } from "./odd.ts";

/** One Node judged by itself: either what the network needs of it, or what is wrong with it. */
export type NodeEntry = {
  readonly name: string;
  readonly createdAt: string;
  /** InternalIPs, also those of a Node with a fault: its machine answers there. */
  readonly addresses: readonly Address[];
} & ({ readonly node: ClusterNode; readonly fault: null } | { readonly node: null; readonly fault: string });

/** Judges one Node by itself; a Node with a fault is left out whole, because half a Node would be half reachable. */
export function toEntry({ name, createdAt, podCidrs, internalIps, malformed }: NodeFields): NodeEntry {
  if (malformed !== null) {
    return { name, createdAt, addresses: [], node: null, fault: `is malformed: ${malformed}` };
  }
  const odd: string[] = [];
  const kept = <T>(text: string, value: T | null): T[] => {
    if (value === null) odd.push(text);
    return value === null ? [] : [value];
  };
  const node: ClusterNode = {
    name,
    podCidrs: podCidrs.flatMap((text) => kept(text, parseNetwork(text))),
    addresses: internalIps.flatMap((text) => kept(text, parseAddress(text))),
  };
  const fault = faultOf(node, podCidrs, odd);
  const entry = { name, createdAt, addresses: node.addresses };
  return fault === null ? { ...entry, node, fault } : { ...entry, node: null, fault };
}

/** A prefix without host bits; null when it is none. */
function parseNetwork(text: string): Prefix | null {
  const prefix = parsePrefix(text);
  return prefix === null || hasHostBits(prefix) ? null : prefix;
}

/** What is wrong with a Node by itself; null when nothing is. */
function faultOf(node: ClusterNode, texts: readonly string[], odd: readonly string[]): string | null {
  if (texts.length === 0) return "has no pod CIDR (spec.podCIDRs is [])";
  if (odd.length > 0) return `has a value that is no address or network: ${odd.join(", ")}`;
  if (node.addresses.length === 0) return "has no InternalIP";
  return faultOfCidrs(node) ?? faultOfAddresses(node);
}

function faultOfCidrs({ podCidrs }: ClusterNode): string | null {
  const doubled = podCidrs.find((a, index) => podCidrs.slice(index + 1).some((b) => overlaps(a, b)));
  if (doubled !== undefined) return `has the pod CIDR ${formatPrefix(doubled)} twice`;
  for (const cidr of podCidrs) {
    const why = oddNetwork(cidr);
    if (why !== null) return `has a pod CIDR that can't be routed: ${formatPrefix(cidr)} (${why})`;
  }
  for (const family of FAMILIES) {
    // The API allows one of each family (validateNodeSpec "may contain no more than 1 value for each IP family").
    const same = podCidrs.filter(({ address }) => address.family === family);
    if (same.length > 1) {
      return `has more than one IPv${family} pod CIDR: ${same.map(formatPrefix).join(", ")}`;
    }
  }
  return null;
}

function faultOfAddresses({ podCidrs, addresses }: ClusterNode): string | null {
  for (const address of addresses) {
    const why = oddAddress(address);
    if (why !== null) {
      return `has an InternalIP that no other node can reach: ${formatAddress(address)} (${why})`;
    }
    const cidr = podCidrs.find((prefix) => contains(prefix, address));
    if (cidr !== undefined) {
      return `has its InternalIP ${formatAddress(address)} inside its pod CIDR ${formatPrefix(cidr)}`;
    }
  }
  return null;
}

/**
 * All Nodes together, in the order given. Of two that contradict each other the older one keeps what it has, by
 * `metadata.creationTimestamp`, then by name (a Node without a timestamp comes after all that have one): every node of
 * the cluster decides the same, in whatever order it heard of them. The other one is left out, and claims nothing but
 * that its machine answers at its InternalIPs.
 * Where a pod CIDR holds other Nodes' InternalIPs, a route to it would cut them off: that of an older Node, or those of
 * two, make the Node with the pod CIDR the one that is wrong; else it is the Node with the InternalIP.
 *
 * O(n · l · log n) for n Nodes whose pod CIDRs have l different lengths, of which a cluster has one or two.
 */
export function toSnapshot(given: readonly NodeEntry[]): NodeSnapshot {
  // The same Node twice, word for word, is one object, and no contradiction.
  const entries = [...new Set(given)];
  const conflicts = conflictsOf(entries);
  const nodes: ClusterNode[] = [];
  const faults: NodeFault[] = [];
  for (const entry of entries) {
    const message = entry.fault ?? conflicts.get(entry) ?? null;
    if (message !== null) faults.push({ node: entry.name, message });
    else if (entry.node !== null) nodes.push(entry.node);
  }
  return { nodes, faults };
}

function conflictsOf(entries: readonly NodeEntry[]): Map<NodeEntry, string> {
  const conflicts = new Map<NodeEntry, string>();
  const names = new Set<string>();
  const cidrs = openClaims(entries.flatMap(({ node }) => node?.podCidrs ?? []));
  const addresses = new Map<string | bigint, string>();
  const sorted = [...entries].sort(bySeniority);
  const ranks = new Map(sorted.map((entry, rank) => [entry, rank] as const));
  const machines = openAddressIndex(
    sorted.flatMap((entry) => entry.addresses.map((address) => ({ address, holder: entry }))),
  );
  const isOlder = (a: NodeEntry, b: NodeEntry) => (ranks.get(a) ?? 0) < (ranks.get(b) ?? 0);
  for (const entry of sorted) {
    if (entry.node === null) continue;
    const message =
      conflictOf(entry.node, names, cidrs.ownerOf, (a) => addresses.get(addressKey(a))) ??
      coverageOf(entry, entry.node, machines.within, isOlder);
    if (message !== null) {
      conflicts.set(entry, message);
      continue;
    }
    names.add(entry.name);
    for (const cidr of entry.node.podCidrs) cidrs.claim(cidr, entry.name);
    for (const address of entry.node.addresses) addresses.set(addressKey(address), entry.name);
  }
  return conflicts;
}

/** Whom a route to the Node's pod CIDRs would cut off. */
function coverageOf(
  entry: NodeEntry,
  { podCidrs }: ClusterNode,
  within: (network: Prefix, except: NodeEntry) => readonly HeldAddress<NodeEntry>[],
  isOlder: (a: NodeEntry, b: NodeEntry) => boolean,
): string | null {
  for (const cidr of podCidrs) {
    const [first, second] = within(cidr, entry);
    if (first === undefined || (second === undefined && !isOlder(first.holder, entry))) continue;
    const more = second === undefined ? "" : " and of others";
    return `has a pod CIDR that holds the InternalIP ${formatAddress(first.address)} of node ${first.holder.name}${more}: ${formatPrefix(cidr)}`;
  }
  return null;
}

/** A bigint for IPv6 and a text for IPv4, so that ::a01:101 is not 10.1.1.1. */
function addressKey({ family, value }: Address): string | bigint {
  return family === 6 ? value : `${value}`;
}

function bySeniority(a: NodeEntry, b: NodeEntry): number {
  if (a.createdAt !== b.createdAt) {
    if (a.createdAt === "" || b.createdAt === "") return a.createdAt === "" ? 1 : -1;
    return a.createdAt < b.createdAt ? -1 : 1;
  }
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** What contradicts an older Node; the older one keeps what it has. */
function conflictOf(
  node: ClusterNode,
  names: ReadonlySet<string>,
  cidrOwner: (cidr: Prefix) => string | undefined,
  addressOwner: (address: Address) => string | undefined,
): string | null {
  if (names.has(node.name)) return "is in the list twice";
  for (const cidr of node.podCidrs) {
    const owner = cidrOwner(cidr);
    if (owner !== undefined) return `has a pod CIDR of node ${owner}: ${formatPrefix(cidr)}`;
  }
  for (const address of node.addresses) {
    const owner = addressOwner(address);
    if (owner !== undefined) return `has an InternalIP of node ${owner}: ${formatAddress(address)}`;
    const holder = cidrOwner(hostPrefix(address));
    if (holder !== undefined)
      return `has an InternalIP in a pod CIDR of node ${holder}: ${formatAddress(address)}`;
  }
  return null;
}
