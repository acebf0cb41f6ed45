import type { Host } from "../../host/machine.ts";
import type { ClusterNode } from "../../net/node.ts";
import type { RouteTable } from "../../plan/route-table.ts";
import type { ObservedAddress, ObservedFdb, ObservedLink, ObservedNeighbour } from "../../plan/state.ts";
import type { ObservedTunnel } from "../../topology/tunnel.ts";
import { observeUnderlay, type Underlay } from "./underlay.ts";

/** The kernel's state at one moment; what is not asked for is not read, and what was read is not read again. */
export interface Observation {
  readonly links: readonly ObservedLink[];
  readonly routes: RouteTable;
  underlay(self: ClusterNode): Underlay;
  /** A link as a tunnel device; null when there is none of the name. */
  tunnel(name: string): ObservedTunnel | null;
  forwarding(name: string): readonly ObservedFdb[];
  neighbours(name: string): readonly ObservedNeighbour[];
}

export function observe(host: Host): Observation {
  const links = host.links();
  const routes = host.routeTable();
  const find = (name: string) => links.find((link) => link.name === name);
  const addresses = remember((index: number): readonly ObservedAddress[] => host.addresses(index));
  const forwarding = remember((index: number) => host.forwarding(index));
  const neighbours = remember((index: number) => host.neighbours(index));
  const sysctl = remember((key: string) => host.readFile(`/proc/sys/${key}`)?.trim() ?? null);
  const underlay = remember((self: ClusterNode) => observeUnderlay(self, links, host));
  return {
    links,
    routes,
    underlay,
    tunnel: (name) => {
      const link = find(name);
      return link === undefined ? null : { link, addresses: addresses(link.index), sysctl };
    },
    forwarding: (name) => {
      const link = find(name);
      return link === undefined ? [] : forwarding(link.index);
    },
    neighbours: (name) => {
      const link = find(name);
      return link === undefined ? [] : neighbours(link.index);
    },
  };
}

function remember<K, V>(read: (key: K) => V): (key: K) => V {
  const known = new Map<K, { readonly value: V }>();
  return (key) => {
    const found = known.get(key) ?? { value: read(key) };
    known.set(key, found);
    return found.value;
  };
}
