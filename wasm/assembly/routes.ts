// The difference between desired and observed routes, in a memory of its own (the pool has another). Only numbers
// cross the border: no strings, no objects, no allocator, no imports. Counts are checked by the caller
// (src/wasm/routes.ts), never here. Records are those of src/plan/route-table.ts: 64 bytes, one cache line each.
//
// Memory map for room of D desired and O observed records (powers of two, at least 1024). It grows by whole pages
// and never shrinks; with D = O = 2^18 it ends in page 693, which wasm/asconfig-routes.json pins as maximumMemory.
//
//   0x00000 +-------------------------+  page 0: unused, never touched, costs no memory (as in pool.ts)
//   0x10000 +-------------------------+
//           | desired records         |  64 D
//           +-------------------------+
//           | hash table              |  16 D: at most 2 D entries of 8 bytes; the first power of two of at least 2 n
//           |                         |        is in use: hash << 32 | index + 1, 0 when free
//           +-------------------------+
//           | `other` index           |  4 D: the observed route that is in the way, or that is replaced
//           +-------------------------+
//           | states                  |  D: 1 satisfied (a route of ours equals it) | 2 foreign (somebody else has a
//           |                         |     route there; `other` is the first) | 4 replaced (`other` is a route of ours
//           |                         |     with its key and another value). Bytes, not bits: setting a bit has to wait
//           |                         |     for the byte that its neighbour has just written
//           +-------------------------+
//           | upserts                 |  8 D: pairs (desired, observed or −1)
//           | conflicts               |  8 D: pairs (desired, observed)
//           +-------------------------+
//           | observed records        |  64 O
//           +-------------------------+
//           | deletions               |  8 O: pairs (observed, desired or −1); before phase 2 all routes of ours that
//           +-------------------------+       satisfy nothing
//
// Between calls the desired records and their hash table stay; the rest is written anew.

const BASE: usize = 0x10000;
const LEAST: i32 = 1024;
const SATISFIED: u8 = 1;
const FOREIGN: u8 = 2;
const REPLACED: u8 = 4;
/** Offsets in a record, in bytes. */
const METRIC: usize = 20;
const PROTOCOL: usize = 48;

let desiredRoom: i32 = 0;
let observedRoom: i32 = 0;
let desiredCount: i32 = 0;
/** The table's slot is the upper bits of a hash: hash >> shift. */
let shift: u64 = 63;
let mask: usize = 0;

let tableAt: usize = 0;
let otherAt: usize = 0;
let statesAt: usize = 0;
let upsertsAt: usize = 0;
let conflictsAt: usize = 0;
let observedAt: usize = 0;
let deletionsAt: usize = 0;

let upserts: i32 = 0;
let conflicts: i32 = 0;
let deletions: i32 = 0;

function powerOfTwo(least: i32, count: i32): i32 {
  let size = least;
  while (size < count) size <<= 1;
  return size;
}

/** Lays the regions out and makes the memory large enough; false when the machine gives no more. */
function layOut(): bool {
  const room = <usize>desiredRoom;
  tableAt = BASE + (room << 6);
  otherAt = tableAt + (room << 4);
  statesAt = otherAt + (room << 2);
  upsertsAt = statesAt + room;
  conflictsAt = upsertsAt + (room << 3);
  observedAt = conflictsAt + (room << 3);
  deletionsAt = observedAt + ((<usize>observedRoom) << 6);
  const end = deletionsAt + ((<usize>observedRoom) << 3);
  const missing = <i32>((end + 0xffff) >> 16) - memory.size();
  return missing <= 0 || memory.grow(missing) >= 0;
}

/**
 * Two rounds of multiply and fold over the 20 bytes of a destination: neighbouring networks differ in a few bits only,
 * which each multiplication carries up and each fold brings down again. The constants are those of MurmurHash3's
 * 64-bit finaliser.
 */
function hashOf(low: u64, high: u64, prefix: u32): u64 {
  let hash = (low ^ ((<u64>prefix) << 40)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 32) ^ high) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 29);
}

/** Makes room for `count` desired records, 0 … 2^18; their byte address, or 0 when there is no memory. */
export function reserveDesired(count: i32): i32 {
  // Whatever happens next, the table that was there is not to be trusted.
  desiredCount = 0;
  mask = 0;
  if (count > desiredRoom || desiredRoom == 0) {
    desiredRoom = powerOfTwo(LEAST, count);
    if (!layOut()) {
      desiredRoom = 0;
      return 0;
    }
  }
  return <i32>BASE;
}

/** Makes room for `count` observed records, 0 … 2^18; their byte address, or 0 when there is no memory. */
export function reserveObserved(count: i32): i32 {
  if (count > observedRoom || observedRoom == 0) {
    const before = observedRoom;
    observedRoom = powerOfTwo(LEAST, count);
    if (!layOut()) {
      observedRoom = before;
      layOut();
      return 0;
    }
  }
  return <i32>observedAt;
}

/**
 * Builds the table over `count` desired records that were written at reserveDesired's address. Returns −1, or the
 * index of a record whose destination an earlier one has already (the table then holds what came before it).
 */
export function indexDesired(count: i32): i32 {
  const size = powerOfTwo(2, count << 1);
  const last = <usize>(size - 1);
  const down = <u64>(64 - ctz<i32>(size));
  const table = tableAt;
  shift = down;
  mask = last;
  memory.fill(table, 0, (<usize>size) << 3);
  for (let index = 0; index < count; index++) {
    const at = BASE + ((<usize>index) << 6);
    const low = load<u64>(at);
    const high = load<u64>(at, 8);
    const prefix = load<u32>(at, 16);
    const hash = hashOf(low, high, prefix);
    let slot = <usize>(hash >> down);
    let entry = load<u64>(table + (slot << 3));
    while (entry != 0) {
      if (<u32>(entry >> 32) == <u32>hash) {
        const there = BASE + ((<usize>(<u32>entry - 1)) << 6);
        if (load<u64>(there) == low && load<u64>(there, 8) == high && load<u32>(there, 16) == prefix) {
          return index;
        }
      }
      slot = (slot + 1) & last;
      entry = load<u64>(table + (slot << 3));
    }
    store<u64>(table + (slot << 3), (hash << 32) | <u64>(index + 1));
    desiredCount = index + 1;
  }
  return -1;
}

/** Index of the desired record with this destination, or −1. */
function find(table: usize, down: u64, last: usize, low: u64, high: u64, prefix: u32): i32 {
  const hash = hashOf(low, high, prefix);
  let slot = <usize>(hash >> down);
  while (true) {
    const entry = load<u64>(table + (slot << 3));
    if (entry == 0) return -1;
    if (<u32>(entry >> 32) == <u32>hash) {
      const there = BASE + ((<usize>(<u32>entry - 1)) << 6);
      if (load<u64>(there) == low && load<u64>(there, 8) == high && load<u32>(there, 16) == prefix) {
        return <i32>(<u32>entry - 1);
      }
    }
    slot = (slot + 1) & last;
  }
}

/** Compares `count` observed records, written at reserveObserved's address, with the desired ones. */
export function diff(count: i32, protocol: i32): void {
  // Whole words, so that phase 3 can look at eight states at once.
  memory.fill(statesAt, 0, (<usize>desiredCount + 7) & ~7);
  dropLeft(match(count, protocol));
  settle();
}

/** Phase 1, in observed order: what satisfies, what is in the way, and the list of what does neither. */
function match(count: i32, protocol: i32): i32 {
  const table = tableAt;
  const down = shift;
  const last = mask;
  const states = statesAt;
  const isEmpty = desiredCount == 0;
  let left = deletionsAt;
  let at = observedAt;
  for (let index = 0; index < count; index++, at += 64) {
    const isOurs = load<u32>(at, PROTOCOL) == <u32>protocol;
    const found = isEmpty ? -1 : find(table, down, last, load<u64>(at), load<u64>(at, 8), load<u32>(at, 16));
    const state = states + <usize>found;
    if (isOurs) {
      if (found >= 0) {
        const wanted = BASE + ((<usize>found) << 6);
        const differs =
          (load<u64>(at, 16) ^ load<u64>(wanted, 16)) |
          (load<u64>(at, 24) ^ load<u64>(wanted, 24)) |
          (load<u64>(at, 32) ^ load<u64>(wanted, 32)) |
          (load<u64>(at, 40) ^ load<u64>(wanted, 40));
        const seen = load<u8>(state);
        if (differs == 0 && (seen & SATISFIED) == 0) {
          store<u8>(state, seen | SATISFIED);
          continue;
        }
      }
      store<i32>(left, index);
      store<i32>(left, found, 4);
      left += 8;
    } else if (found >= 0) {
      const seen = load<u8>(state);
      if ((seen & FOREIGN) != 0) continue;
      store<u8>(state, seen | FOREIGN);
      store<i32>(otherAt + ((<usize>found) << 2), index);
    }
  }
  return <i32>((left - deletionsAt) >> 3);
}

/**
 * Phase 2: of the `left` routes of ours, the first with the key of a desired one that nothing satisfies is replaced;
 * the others are deleted. Where a foreign route is in the way nothing is replaced: `replace` might hit that one.
 */
function dropLeft(left: i32): void {
  let kept: usize = deletionsAt;
  const end = deletionsAt + ((<usize>left) << 3);
  for (let at = deletionsAt; at < end; at += 8) {
    const index = load<i32>(at);
    const found = load<i32>(at, 4);
    if (found >= 0 && load<u8>(statesAt + <usize>found) == 0) {
      const metric = load<u32>(observedAt + ((<usize>index) << 6), METRIC);
      if (metric == load<u32>(BASE + ((<usize>found) << 6), METRIC)) {
        store<u8>(statesAt + <usize>found, REPLACED);
        store<i32>(otherAt + ((<usize>found) << 2), index);
        continue;
      }
    }
    store<i32>(kept, index);
    store<i32>(kept, found, 4);
    kept += 8;
  }
  deletions = <i32>((kept - deletionsAt) >> 3);
}

/** Phase 3, in desired order: additions, replacements and conflicts. Satisfied ones are skipped eight at a time. */
function settle(): void {
  const states = statesAt;
  const count = <usize>desiredCount;
  let upsert = upsertsAt;
  let conflict = conflictsAt;
  for (let index: usize = 0; index < count; index++) {
    while ((index & 7) == 0 && index + 8 <= count && load<u64>(states + index) == 0x0101010101010101) {
      index += 8;
    }
    if (index == count) break;
    const seen = load<u8>(states + index);
    if (seen == SATISFIED) continue;
    const other = seen == 0 ? 0xffffffff : <u64>load<u32>(otherAt + (index << 2));
    const pair = <u64>index | (other << 32);
    if ((seen & FOREIGN) != 0) {
      store<u64>(conflict, pair);
      conflict += 8;
    } else {
      store<u64>(upsert, pair);
      upsert += 8;
    }
  }
  upserts = <i32>((upsert - upsertsAt) >> 3);
  conflicts = <i32>((conflict - conflictsAt) >> 3);
}

/** Byte addresses and lengths, in pairs, of what the last diff found. */
export function upsertsPtr(): i32 {
  return <i32>upsertsAt;
}
export function upsertCount(): i32 {
  return upserts;
}
export function conflictsPtr(): i32 {
  return <i32>conflictsAt;
}
export function conflictCount(): i32 {
  return conflicts;
}
export function deletionsPtr(): i32 {
  return <i32>deletionsAt;
}
export function deletionCount(): i32 {
  return deletions;
}
