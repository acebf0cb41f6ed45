import { bitmapBytes } from "../../../ipam/pool.ts";
import { parseRange, type RangeSet, slotsOfSet } from "../../../ipam/range.ts";
import { createRandom } from "../statistics.ts";
import { chooseScattered, usedOf } from "./fullness.ts";

/** Prefix lengths of the ranges, and how full they are (parts, not percent). */
export const LENGTHS = [24, 16, 12] as const;
export const FULLNESSES = [0, 0.5, 0.99, 0.999] as const;

/** Where every range begins: of 240.0.0.0/4, which nobody can have (RFC 1112 §4), so that no connection is of it. */
const NETWORK = "240.16.0.0";
/** IPv4 text of slot 0 of every range. */
export const FIRST_ADDRESS = "240.16.0.1";

/** One range, as an allocator sees it. */
export interface Place {
  /** "240.16.0.0/16". */
  readonly subnet: string;
  readonly set: RangeSet;
  /** Slots as the allocator counts them: without the network's own address and the broadcast address. */
  readonly capacity: number;
}

/** A range in a state, the same in every run. */
export interface Workload extends Place {
  /** "/16, 99.9 % full". */
  readonly name: string;
  /** As `AddressPool.load` takes it; the gateway (slot 0) is a used slot, as in an allocation. */
  readonly bitmap: Uint8Array;
  /** Ones of the bitmap. */
  readonly used: number;
  /** Free slots in random order. */
  readonly free: readonly number[];
}

/** The range of this prefix length. Throws InvalidRange for one that has no addresses to give. */
export function describePlace(length: number): Place {
  const subnet = `${NETWORK}/${length}`;
  const set = [parseRange({ subnet })];
  return { subnet, set, capacity: slotsOfSet(set) };
}

/** The range of this prefix length with a part of its addresses in use; free ones are scattered, at least one. */
export function describeWorkload(length: number, fullness: number): Workload {
  const place = describePlace(length);
  const { capacity } = place;
  const fillable = capacity - 1;
  const free = chooseScattered(fillable, fillable - usedOf(fillable, fullness)).map((index) => index + 1);
  const bitmap = new Uint8Array(bitmapBytes(capacity));
  for (let slot = 0; slot < capacity; slot++)
    bitmap[slot >> 3] = (bitmap[slot >> 3] ?? 0) | (1 << (slot & 7));
  for (const slot of free) bitmap[slot >> 3] = (bitmap[slot >> 3] ?? 0) & ~(1 << (slot & 7));
  shuffle(free, createRandom(length));
  return {
    ...place,
    name: nameRange(length, fullness),
    bitmap,
    used: capacity - free.length,
    free,
  };
}

/** "/16, 99.9 % full": what scenarios are called by. */
export function nameRange(length: number, fullness: number): string {
  return `/${length}, ${Number((fullness * 100).toFixed(1))} % full`;
}

/** In place (Fisher and Yates; Knuth, The Art of Computer Programming, vol. 2, §3.4.2, algorithm P). */
function shuffle(values: number[], random: () => number): void {
  for (let last = values.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const value = values[last] ?? 0;
    values[last] = values[other] ?? 0;
    values[other] = value;
  }
}
