import fc from "fast-check";
import type { RouteChanges } from "../../src/plan/route-changes.ts";
import { RouteTable, RTN_UNICAST, type TableRoute } from "../../src/plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../src/plan/step.ts";
import { address, prefix } from "./words.ts";

/** A route of ours in a few words; `overrides` for what a test is about. */
export function route(dst: string, via: string | null, overrides: Partial<TableRoute> = {}): TableRoute {
  return {
    dst: prefix(dst),
    via: via === null ? null : address(via),
    ifindex: 2,
    metric: null,
    isOnlink: false,
    type: RTN_UNICAST,
    protocol: ROUTE_PROTOCOL,
    ...overrides,
  };
}

export function tableOf(...routes: readonly TableRoute[]): RouteTable {
  const table = new RouteTable();
  for (const one of routes) table.push(one);
  return table;
}

/** The changes as pairs, copied: an engine's own are overwritten by its next call. */
export function pairsOf({ upserts, deletions, conflicts }: RouteChanges) {
  const pairs = (flat: Int32Array) =>
    Array.from({ length: flat.length / 2 }, (_, index) => [flat[index * 2], flat[index * 2 + 1]]);
  return { upserts: pairs(upserts), deletions: pairs(deletions), conflicts: pairs(conflicts) };
}

/** Few values for everything, so that destinations, keys and whole routes meet often. */
const digits = fc.integer({ min: 0, max: 5 });
const anyRoute = fc
  .record({
    is6: fc.boolean(),
    net: digits,
    length: fc.constantFrom(0, 8),
    via: fc.option(fc.integer({ min: 0, max: 2 }), { nil: null }),
    ifindex: fc.constantFrom(0, 2, 3),
    metric: fc.constantFrom(null, null, 0, 100, 1024),
    isOnlink: fc.boolean(),
    type: fc.constantFrom(1, 1, 1, 6),
    protocol: fc.constantFrom(ROUTE_PROTOCOL, ROUTE_PROTOCOL, ROUTE_PROTOCOL, 2, 3, 80),
  })
  .map(({ is6, net, length, via, ...rest }): TableRoute => {
    const dst = is6 ? `fd00:0:${net}::/${48 + length}` : `10.${net}.0.0/${16 + length}`;
    const gateway = via === null ? null : is6 ? `fd01::${via}` : `192.168.0.${via}`;
    return { ...route(dst, gateway), ...rest };
  });

const keyOf = ({ dst }: TableRoute) => `${dst.address.family} ${dst.address.value} ${dst.length}`;

/** Desired routes of ours, each destination once. */
export const desiredRoutes = fc
  .uniqueArray(anyRoute, { selector: keyOf, maxLength: 24 })
  .map((routes) => routes.map((one) => ({ ...one, protocol: ROUTE_PROTOCOL })));

/** Routes of a kernel: whatever comes, and often what is desired, in any order. */
export function observedRoutes(desired: readonly TableRoute[]): fc.Arbitrary<TableRoute[]> {
  if (desired.length === 0) return fc.array(anyRoute, { maxLength: 40 });
  const alike = fc
    .record({ base: fc.constantFrom(...desired), other: anyRoute, part: fc.integer({ min: 0, max: 5 }) })
    .map(({ base, other, part }): TableRoute => {
      if (part === 0) return { ...base, metric: other.metric };
      if (part === 1) return { ...base, ifindex: other.ifindex, isOnlink: other.isOnlink };
      if (part === 2) return { ...base, protocol: other.protocol };
      return base;
    });
  return fc.array(fc.oneof(alike, alike, anyRoute), { maxLength: 40 });
}
