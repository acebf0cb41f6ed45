import {
  type IndexedTable,
  isIndexed,
  type RouteDiffEngine,
  requireRoom,
} from "../../../plan/route-changes.ts";
import { ROUTE_WORDS, type RouteTable, WORD } from "../../../plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../../plan/step.ts";

/** States of a desired route, bit by bit. */
const SATISFIED = 1;
const FOREIGN = 2;
const REPLACED = 4;

/**
 * The route diff of src/wasm in plain TypeScript: the same hash table and the same three phases on typed arrays, with
 * no object for a route and nothing allocated while the sizes stay. The opponent in the benchmark, and the twin that
 * the tests hold the WASM module against.
 *
 * It copies no record: it reads both tables where they are.
 */
export function createTwinRouteDiff(): RouteDiffEngine {
  let indexed: IndexedTable | null = null;
  /** Pairs (hash, index + 1), 0 when free: one cache line for eight slots. */
  let table = new Uint32Array(4);
  let mask = 1;
  let state = new Uint8Array(0);
  let other = new Int32Array(0);
  let upserts = new Int32Array(0);
  let conflicts = new Int32Array(0);
  let deletions = new Int32Array(0);

  const load = (next: RouteTable): void => {
    indexed = null;
    const size = powerOfTwo(next.count * 2);
    if (table.length < size * 2) table = new Uint32Array(size * 2);
    table.fill(0, 0, size * 2);
    mask = size - 1;
    if (state.length < next.count) {
      const room = powerOfTwo(next.count);
      state = new Uint8Array(room);
      other = new Int32Array(room);
      upserts = new Int32Array(room * 2);
      conflicts = new Int32Array(room * 2);
    }
    const twice = buildIndex(next.words, next.count, table, mask);
    if (twice >= 0) throw new RangeError(`desired route ${twice} has the destination of an earlier one`);
    indexed = { table: next, count: next.count };
  };

  /** Phase 1, in observed order; the length of `deletions`: pairs of what is ours and satisfies nothing. */
  const match = (desired: Uint32Array, words: Uint32Array, count: number): number => {
    // Locals: what a closure holds is loaded anew for each access.
    const slots = table;
    const last = mask;
    const seen = state;
    const pairs = deletions;
    let left = 0;
    for (let index = 0; index < count; index++) {
      const at = index * ROUTE_WORDS;
      const found = find(words, at, desired, slots, last);
      if (words[at + WORD.protocol] !== ROUTE_PROTOCOL) {
        if (found < 0 || ((seen[found] ?? 0) & FOREIGN) !== 0) continue;
        seen[found] = (seen[found] ?? 0) | FOREIGN;
        other[found] = index;
        continue;
      }
      if (found >= 0 && ((seen[found] ?? 0) & SATISFIED) === 0) {
        if (isSameValue(words, at, desired, found * ROUTE_WORDS)) {
          seen[found] = (seen[found] ?? 0) | SATISFIED;
          continue;
        }
      }
      pairs[left++] = index;
      pairs[left++] = found;
    }
    return left;
  };

  /** Phase 2: the first with the key of a desired one that nothing satisfies is replaced; the others stay listed. */
  const dropLeft = (desired: Uint32Array, words: Uint32Array, left: number): number => {
    let kept = 0;
    for (let at = 0; at < left; at += 2) {
      const index = deletions[at] ?? 0;
      const found = deletions[at + 1] ?? 0;
      const metric = words[index * ROUTE_WORDS + WORD.metric];
      if (found >= 0 && state[found] === 0 && metric === desired[found * ROUTE_WORDS + WORD.metric]) {
        state[found] = REPLACED;
        other[found] = index;
        continue;
      }
      deletions[kept++] = index;
      deletions[kept++] = found;
    }
    return kept;
  };

  return {
    diff(desired, observed) {
      requireRoom(desired);
      requireRoom(observed);
      if (!isIndexed(indexed, desired)) load(desired);
      if (deletions.length < observed.count * 2) deletions = new Int32Array(powerOfTwo(observed.count) * 2);
      state.fill(0, 0, desired.count);
      const wanted = desired.words;
      const there = observed.words;
      const kept = dropLeft(wanted, there, match(wanted, there, observed.count));
      let upsert = 0;
      let conflict = 0;
      for (let index = 0; index < desired.count; index++) {
        const seen = state[index] ?? 0;
        if (seen === SATISFIED) continue;
        if ((seen & FOREIGN) !== 0) {
          conflicts[conflict++] = index;
          conflicts[conflict++] = other[index] ?? 0;
        } else {
          upserts[upsert++] = index;
          upserts[upsert++] = seen === REPLACED ? (other[index] ?? 0) : -1;
        }
      }
      return {
        upserts: upserts.subarray(0, upsert),
        deletions: deletions.subarray(0, kept),
        conflicts: conflicts.subarray(0, conflict),
      };
    },
  };
}

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, least)));
}

/** Fills an empty table; −1, or the first index whose destination is there already. */
function buildIndex(words: Uint32Array, count: number, slots: Uint32Array, last: number): number {
  for (let index = 0; index < count; index++) {
    const at = index * ROUTE_WORDS;
    const hash = hashOf(words, at);
    let slot = hash & last;
    for (let entry = slots[slot * 2 + 1] ?? 0; entry !== 0; entry = slots[slot * 2 + 1] ?? 0) {
      if (slots[slot * 2] === hash && isSameDestination(words, at, words, (entry - 1) * ROUTE_WORDS))
        return index;
      slot = (slot + 1) & last;
    }
    slots[slot * 2] = hash;
    slots[slot * 2 + 1] = index + 1;
  }
  return -1;
}

/** Index of the desired record with the destination of the one at `at`, or −1. */
function find(
  words: Uint32Array,
  at: number,
  desired: Uint32Array,
  slots: Uint32Array,
  last: number,
): number {
  const hash = hashOf(words, at);
  for (let slot = hash & last; ; slot = (slot + 1) & last) {
    const entry = slots[slot * 2 + 1] ?? 0;
    if (entry === 0) return -1;
    if (slots[slot * 2] === hash && isSameDestination(words, at, desired, (entry - 1) * ROUTE_WORDS))
      return entry - 1;
  }
}

/** A multiplication and a fold for each address word, with the constants of MurmurHash3's finaliser. */
function hashOf(words: Uint32Array, at: number): number {
  let hash = Math.imul((words[at] ?? 0) ^ ((words[at + WORD.prefix] ?? 0) << 8), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16) ^ (words[at + 1] ?? 0), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 13) ^ (words[at + 2] ?? 0), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16) ^ (words[at + 3] ?? 0), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Words 0 … 4; unrolled, because the loop costs twice the time. */
function isSameDestination(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  return (
    a[atA] === b[atB] &&
    a[atA + 1] === b[atB + 1] &&
    a[atA + 2] === b[atB + 2] &&
    a[atA + 3] === b[atB + 3] &&
    a[atA + 4] === b[atB + 4]
  );
}

/** Words 5 … 11. */
function isSameValue(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  return (
    a[atA + 5] === b[atB + 5] &&
    a[atA + 6] === b[atB + 6] &&
    a[atA + 7] === b[atB + 7] &&
    a[atA + 8] === b[atB + 8] &&
    a[atA + 9] === b[atB + 9] &&
    a[atA + 10] === b[atB + 10] &&
    a[atA + 11] === b[atB + 11]
  );
}
