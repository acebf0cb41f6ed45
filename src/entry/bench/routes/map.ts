import {
  type IndexedTable,
  isIndexed,
  type RouteChanges,
  type RouteDiffEngine,
  requireRoom,
} from "../../../plan/route-changes.ts";
import { ROUTE_WORDS, type RouteTable, WORD } from "../../../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../../plan/step.ts";

function wordOf(table: RouteTable, index: number, offset: number): number {
  // Not `words`: that is a view of its own for each word read.
  return table.room[index * ROUTE_WORDS + offset] ?? 0;
}

function destinationOf(table: RouteTable, index: number): string {
  const word = (offset: number) => wordOf(table, index, offset);
  return `${word(0)} ${word(1)} ${word(2)} ${word(3)} ${word(WORD.prefix)}`;
}

const metricOf = (table: RouteTable, index: number) => wordOf(table, index, WORD.metric);
const isOurs = (table: RouteTable, index: number) => wordOf(table, index, WORD.protocol) === ROUTE_PROTOCOL;

/** Whether all is equal but the protocol: words 0 … 11. */
function isSameRoute(a: RouteTable, atA: number, b: RouteTable, atB: number): boolean {
  for (let offset = 0; offset <= WORD.flags; offset++) {
    if (wordOf(a, atA, offset) !== wordOf(b, atB, offset)) return false;
  }
  return true;
}

/**
 * The route diff as one writes it first: Maps of texts and one rule after the other, as RouteChanges words them. It is
 * obviously right, so the tests take it as their oracle; in the benchmark it shows what a plain Map costs.
 */
export function createMapRouteDiff(): RouteDiffEngine {
  let indexed: IndexedTable | null = null;
  let wanted = new Map<string, number>();
  return {
    diff(desired, observed) {
      requireRoom(desired);
      requireRoom(observed);
      if (!isIndexed(indexed, desired)) {
        indexed = null;
        wanted = new Map(indices(desired).map((index) => [destinationOf(desired, index), index] as const));
        if (wanted.size !== desired.count) throw new RangeError("a desired destination is there twice");
        indexed = { table: desired, count: desired.count };
      }
      return compare(desired, wanted, observed);
    },
  };
}

function compare(
  desired: RouteTable,
  wanted: ReadonlyMap<string, number>,
  observed: RouteTable,
): RouteChanges {
  const there = new Map<string, number[]>();
  for (const index of indices(observed)) {
    const key = destinationOf(observed, index);
    const same = there.get(key);
    if (same === undefined) there.set(key, [index]);
    else same.push(index);
  }

  const upserts: number[] = [];
  const conflicts: number[] = [];
  const kept = new Set<number>();
  for (const [destination, index] of wanted) {
    const same = there.get(destination) ?? [];
    const ours = same.filter((other) => isOurs(observed, other));
    const foreign = same.find((other) => !isOurs(observed, other));
    const satisfying = ours.find((other) => isSameRoute(observed, other, desired, index));
    if (satisfying !== undefined) kept.add(satisfying);
    if (foreign !== undefined) conflicts.push(index, foreign);
    if (foreign !== undefined || satisfying !== undefined) continue;
    const replaced = ours.find((other) => metricOf(observed, other) === metricOf(desired, index));
    if (replaced !== undefined) kept.add(replaced);
    upserts.push(index, replaced ?? -1);
  }
  const deletions = indices(observed)
    .filter((index) => isOurs(observed, index) && !kept.has(index))
    .flatMap((index) => [index, wanted.get(destinationOf(observed, index)) ?? -1]);
  return {
    upserts: Int32Array.from(upserts),
    deletions: Int32Array.from(deletions),
    conflicts: Int32Array.from(conflicts),
  };
}

function indices(table: RouteTable): number[] {
  return Array.from({ length: table.count }, (_, index) => index);
}
