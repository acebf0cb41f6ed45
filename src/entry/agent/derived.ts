import { type Address, FAMILIES, type Family, formatAddress } from "../../net/address.ts";
import type { ClusterNode, NodeFault, NodeSnapshot } from "../../net/node.ts";
import { contains, formatPrefix, networkOf } from "../../net/prefix.ts";
import { RouteTable, RTN_UNICAST } from "../../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../plan/step.ts";
import { findMacFaults } from "../../topology/endpoint.ts";
import { type Backend, choosePaths, type Path, type Paths } from "../../topology/path.ts";
import { describeTunnels, type TunnelDevice, type TunnelSettings } from "../../topology/tunnel.ts";
import type { Reach } from "./lookups.ts";

/** What follows from a snapshot alone and from how its peers are reached. */
export interface DerivedPaths {
  readonly paths: readonly Path[];
  readonly faults: readonly NodeFault[];
  readonly desired: ReadonlyMap<Family, number>;
}

/** Indexes of the tunnel devices; null: there is none. */
export type TunnelIndexes = Readonly<Record<Family, number | null>>;

/**
 * The desired state. Each part is made anew only when what it is made of is another object, and of single peers only
 * what has changed about them: with thousands of peers a pass costs little.
 */
export interface Derived {
  paths(snapshot: NodeSnapshot, self: ClusterNode, reach: Reach): DerivedPaths;
  /** Desired routes; those through a tunnel without a device are left out. */
  table(paths: DerivedPaths, indexes: TunnelIndexes): RouteTable;
  tunnels(
    self: ClusterNode,
    paths: DerivedPaths,
    settings: TunnelSettings,
    underlayMtu: (family: Family) => number,
  ): readonly TunnelDevice[];
}

export function createDerived(backend: Backend): Derived {
  let kept: { snapshot: NodeSnapshot; self: ClusterNode; reach: Reach; derived: DerivedPaths } | null = null;
  let byPeer = new WeakMap<ClusterNode, Paths>();
  let packed: { paths: DerivedPaths; indexes: TunnelIndexes; table: RouteTable; isSpread: boolean } | null =
    null;
  let tunnelled: {
    key: string;
    paths: DerivedPaths;
    self: ClusterNode;
    devices: readonly TunnelDevice[];
  } | null = null;
  return {
    paths: (snapshot, self, reach) => {
      if (kept?.snapshot === snapshot && kept.self === self && kept.reach === reach) return kept.derived;
      if (kept?.self !== self || kept.reach !== reach) byPeer = new WeakMap();
      const pathsTo = (peer: ClusterNode) => {
        const known = byPeer.get(peer) ?? choosePathsTo(peer, self, backend, reach);
        byPeer.set(peer, known);
        return known;
      };
      const derived = derive(snapshot, self, backend, pathsTo);
      kept = { snapshot, self, reach, derived };
      return derived;
    },
    table: (paths, indexes) => {
      const isSameDevices = packed !== null && FAMILIES.every((it) => packed?.indexes[it] === indexes[it]);
      if (packed?.paths === paths && isSameDevices) return packed.table;
      const isSpread = isToBeSpread(paths, packed?.isSpread ?? false);
      const before = isSameDevices && packed?.isSpread === isSpread ? packed : null;
      packed = { paths, indexes, isSpread, table: pack(paths, indexes, isSpread, before) };
      return packed.table;
    },
    tunnels: (self, paths, settings, underlayMtu) => {
      const key = FAMILIES.map(underlayMtu).join();
      if (tunnelled?.paths !== paths || tunnelled.self !== self || tunnelled.key !== key) {
        tunnelled = { key, paths, self, devices: describeTunnels(self, paths.paths, settings, underlayMtu) };
      }
      return tunnelled.devices;
    },
  };
}

function choosePathsTo(peer: ClusterNode, self: ClusterNode, backend: Backend, reach: Reach): Paths {
  const chosen = choosePaths([peer], self, backend, reach.lookup);
  const faults = [...chosen.faults];
  const paths = chosen.paths.filter(({ dst }) => {
    const held = reach.gateways.find(
      ({ address, ownLength }) => dst.length > ownLength && contains(dst, address),
    );
    if (held === undefined) return true;
    const message = `its pod CIDR ${formatPrefix(dst)} holds ${formatAddress(held.address)}, a gateway of this node`;
    faults.push({ node: peer.name, message });
    return false;
  });
  return { paths, faults };
}

function derive(
  { nodes }: NodeSnapshot,
  self: ClusterNode,
  backend: Backend,
  pathsTo: (peer: ClusterNode) => Paths,
): DerivedPaths {
  const doubled = backend === "host-gw" ? [] : findMacFaults(nodes);
  const left = new Set(doubled.map(({ node }) => node));
  const paths: Path[] = [];
  const faults: NodeFault[] = [...doubled];
  const desired = new Map<Family, number>(FAMILIES.map((family) => [family, 0]));
  for (const peer of nodes) {
    if (peer.name === self.name || left.has(peer.name)) continue;
    const to = pathsTo(peer);
    faults.push(...to.faults);
    for (const path of to.paths) {
      paths.push(path);
      const { family } = path.dst.address;
      desired.set(family, (desired.get(family) ?? 0) + 1);
    }
  }
  return { paths, faults, desired };
}

/** From here on IPv4 routes get metrics; and back again, well apart, so that one Node more or less changes nothing. */
const SPREAD_FROM = 1_000;
const SPREAD_UNTIL = 500;
/** A prime, so that pod CIDRs in a row get metrics apart. */
const METRICS = 4_093;

/**
 * The kernel keeps IPv4 next hops in a hash table whose key has link, protocol and metric, but not the gateway
 * (fib_info_hashfn of net/ipv4/fib_semantics.c): thousands of them on one link are one chain, and adding each walks it.
 * Metrics of their own spread them; nobody else has routes to these destinations, so that they decide nothing.
 */
function isToBeSpread({ desired }: DerivedPaths, isSpread: boolean): boolean {
  const count = desired.get(4) ?? 0;
  return count > SPREAD_FROM || (isSpread && count > SPREAD_UNTIL);
}

function pack(
  { paths }: DerivedPaths,
  indexes: TunnelIndexes,
  isSpread: boolean,
  before: { readonly paths: DerivedPaths; readonly table: RouteTable } | null,
): RouteTable {
  const known = new Map<Path, number>();
  // Records and paths go side by side only where every path has a device.
  if (before !== null && before.table.count === before.paths.paths.length) {
    for (const [index, path] of before.paths.paths.entries()) known.set(path, index);
  }
  const table = new RouteTable(paths.length);
  for (const path of paths) {
    const index = known.get(path);
    if (before !== null && index !== undefined) {
      table.pushFrom(before.table, index);
      continue;
    }
    const isTunnel = path.kind === "tunnel";
    const ifindex = isTunnel ? indexes[path.underlay] : path.ifindex;
    if (ifindex === null) continue;
    const { dst } = path;
    table.push({
      dst,
      via: isTunnel ? path.nextHop : path.via,
      ifindex,
      metric: isSpread && dst.address.family === 4 ? spreadMetric(networkOf(dst).address, dst.length) : null,
      isOnlink: isTunnel,
      type: RTN_UNICAST,
      protocol: ROUTE_PROTOCOL,
    });
  }
  return table;
}

function spreadMetric({ value }: Address, length: number): number {
  return 1 + (Number(value >> BigInt(32 - length)) % METRICS);
}
