import { FAMILIES, type Family } from "../../net/address.ts";
import type { ClusterNode, NodeFault, NodeSnapshot } from "../../net/node.ts";
import { RouteTable, RTN_UNICAST } from "../../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../plan/step.ts";
import { type Backend, choosePaths, type Lookup, type Path } from "../../topology/path.ts";
import { findMacFaults, tunnelNextHop } from "../../topology/tunnel.ts";

/** What follows from a snapshot alone and from how its peers are reached. */
export interface DerivedPaths {
  readonly paths: readonly Path[];
  readonly faults: readonly NodeFault[];
  readonly desired: ReadonlyMap<Family, number>;
}

/** Indexes of the tunnel devices; null: there is none. */
export type TunnelIndexes = Readonly<Record<Family, number | null>>;

/**
 * The desired state, made anew only when what it is made of is another object: with thousands of peers a pass in which
 * nothing has changed costs little.
 */
export function createDerived(backend: Backend): {
  paths(snapshot: NodeSnapshot, self: ClusterNode, lookup: Lookup): DerivedPaths;
  /** Desired routes; those through a tunnel without a device are left out. The same object while nothing changed. */
  table(paths: DerivedPaths, indexes: TunnelIndexes): RouteTable;
} {
  let kept: { snapshot: NodeSnapshot; self: ClusterNode; lookup: Lookup; derived: DerivedPaths } | null =
    null;
  let packed: { paths: DerivedPaths; indexes: TunnelIndexes; table: RouteTable } | null = null;
  return {
    paths: (snapshot, self, lookup) => {
      if (kept?.snapshot === snapshot && kept.self === self && kept.lookup === lookup) return kept.derived;
      const derived = derive(snapshot, self, backend, lookup);
      kept = { snapshot, self, lookup, derived };
      return derived;
    },
    table: (paths, indexes) => {
      const isSame = packed?.paths === paths && FAMILIES.every((it) => packed?.indexes[it] === indexes[it]);
      if (packed !== null && isSame) return packed.table;
      const table = pack(paths, indexes);
      packed = { paths, indexes, table };
      return table;
    },
  };
}

function derive(snapshot: NodeSnapshot, self: ClusterNode, backend: Backend, lookup: Lookup): DerivedPaths {
  const doubled = backend === "host-gw" ? [] : findMacFaults(snapshot.nodes);
  const left = new Set(doubled.map(({ node }) => node));
  const peers = snapshot.nodes.filter(({ name }) => name !== self.name && !left.has(name));
  const { paths, faults } = choosePaths(peers, self, backend, lookup);
  const count = (family: Family) => paths.filter(({ dst }) => dst.address.family === family).length;
  return {
    paths,
    faults: [...doubled, ...faults],
    desired: new Map(FAMILIES.map((family) => [family, count(family)] as const)),
  };
}

function pack({ paths }: DerivedPaths, indexes: TunnelIndexes): RouteTable {
  const table = new RouteTable(paths.length);
  for (const path of paths) {
    const isTunnel = path.kind === "tunnel";
    const ifindex = isTunnel ? indexes[path.underlay] : path.ifindex;
    if (ifindex === null) continue;
    table.push({
      dst: path.dst,
      via: isTunnel ? tunnelNextHop(path.peer.name, path.dst) : path.via,
      ifindex,
      metric: null,
      isOnlink: isTunnel,
      type: RTN_UNICAST,
      protocol: ROUTE_PROTOCOL,
    });
  }
  return table;
}
