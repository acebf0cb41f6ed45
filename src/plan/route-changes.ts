import type { RouteTable } from "./route-table.ts";

/** Records a table may have on each side of a diff; a dual-stack cluster of 15,000 nodes has 30,000. */
export const MAX_ROUTES = 1 << 18;

/**
 * What separates observed routes from desired ones, as pairs of record indices; valid until the engine's next call.
 *
 * - `upserts`: (desired, observed or −1) in desired order. −1: an addition. Else the route of ours with the same
 *   destination and metric that the desired one replaces.
 * - `deletions`: (observed, desired or −1) in observed order, only routes of ours. −1: nobody wants the destination.
 *   Else a second route to a desired destination: another metric, or one that `ip route append` made.
 * - `conflicts`: (desired, observed) in desired order: the first foreign route to the destination, whatever its
 *   metric. Nothing is added or replaced there; a route of ours that equals the desired one stays (removing what works
 *   would cut traffic), any other one of ours is deleted.
 */
export interface RouteChanges {
  readonly upserts: Int32Array;
  readonly deletions: Int32Array;
  readonly conflicts: Int32Array;
}

/** Compares route tables. */
export interface RouteDiffEngine {
  /**
   * The changes from the observed routes (all of a table, of whatever protocol) to the desired ones, each destination
   * once. Ours are those of ROUTE_PROTOCOL. Linear in the number of records.
   *
   * The desired table seldom changes, so its index is kept: it is built anew for another table object or another
   * number of records only. A table that was given once must not be altered in place.
   *
   * Throws RangeError for more than MAX_ROUTES records, and when a desired destination is there twice.
   */
  diff(desired: RouteTable, observed: RouteTable): RouteChanges;
}

/** Makes an engine; the WASM module and plain TypeScript both offer one. */
export type RouteDiffFactory = () => RouteDiffEngine;

/** Whether `next` is the table an engine has indexed already. */
export function isIndexed(last: IndexedTable | null, next: RouteTable): boolean {
  return last !== null && last.table === next && last.count === next.count;
}

/** A table as it was when an engine indexed it. */
export interface IndexedTable {
  readonly table: RouteTable;
  readonly count: number;
}

/** Throws RangeError for a table that no engine takes. */
export function requireRoom({ count }: RouteTable): void {
  if (count > MAX_ROUTES) throw new RangeError(`${count} routes, at most ${MAX_ROUTES}`);
}
