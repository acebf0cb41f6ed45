import { type IndexedTable, isIndexed, type RouteDiffEngine, requireRoom } from "../plan/route-changes.ts";
import { ROUTE_WORDS, type RouteTable } from "../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../plan/step.ts";
import { instantiateRoutes } from "./module.ts";

/**
 * A route diff engine in WebAssembly with a memory of its own, which grows with the tables and is reused between calls
 * (173 bytes for each pair of records, at most 44 MiB). When nothing changed a call costs one copy of the observed
 * table and one look at each of its records.
 *
 * Counts are checked here because the WASM side checks none. Beyond what RouteDiffEngine says, a call throws
 * RangeError when the machine has no memory for the tables.
 */
export function createRouteDiff(): RouteDiffEngine {
  const wasm = instantiateRoutes();
  let indexed: IndexedTable | null = null;

  const copy = (table: RouteTable, reserve: (count: number) => number): void => {
    const at = reserve(table.count);
    if (at === 0) throw new RangeError(`no memory for ${table.count} routes`);
    // A view of each moment: a grow replaces the buffer.
    new Uint32Array(wasm.memory.buffer, at, table.count * ROUTE_WORDS).set(table.words);
  };
  const load = (table: RouteTable): void => {
    indexed = null;
    copy(table, wasm.reserveDesired);
    const twice = wasm.indexDesired(table.count);
    if (twice >= 0) throw new RangeError(`desired route ${twice} has the destination of an earlier one`);
    indexed = { table, count: table.count };
  };
  const pairs = (at: number, count: number) => new Int32Array(wasm.memory.buffer, at, count * 2);

  return {
    diff(desired, observed) {
      requireRoom(desired);
      requireRoom(observed);
      if (!isIndexed(indexed, desired)) load(desired);
      copy(observed, wasm.reserveObserved);
      wasm.diff(observed.count, ROUTE_PROTOCOL);
      return {
        upserts: pairs(wasm.upsertsPtr(), wasm.upsertCount()),
        deletions: pairs(wasm.deletionsPtr(), wasm.deletionCount()),
        conflicts: pairs(wasm.conflictsPtr(), wasm.conflictCount()),
      };
    },
  };
}
