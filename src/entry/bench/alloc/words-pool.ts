import {
  type AddressPool,
  bitmapBytes,
  MAX_SLOTS,
  requireInteger,
  requireLength,
} from "../../../ipam/pool.ts";

/**
 * A rival of the WASM pool: its algorithm in plain TypeScript, on 32-bit words (the widest that need no BigInt). Bits at
 * or beyond the capacity are always zero. Throws RangeError as the WASM pool does.
 */
export function createWordsPool(capacity: number): AddressPool {
  requireInteger("capacity", capacity, 1, MAX_SLOTS);
  const last = capacity - 1;
  const bytes = new Uint8Array(bitmapBytes(capacity));
  // Little-endian, as all machines are that we build for: slot s is bit s & 31 of word s >> 5, bit s & 7 of byte s >> 3.
  const words = new Uint32Array(bytes.buffer);

  /** The first free slot in from … to − 1, or −1. */
  const scan = (from: number, to: number): number => {
    if (from >= to) return -1;
    const end = (to - 1) >>> 5;
    let at = from >>> 5;
    // Free slots are ones here; those of the first word that lie before `from` are masked off.
    let free = ~(words[at] ?? 0) & (-1 << (from & 31));
    while (free === 0) {
      if (at === end) return -1;
      at++;
      free = ~(words[at] ?? 0);
    }
    // The lowest one alone; the zeros behind it are 31 less those before it.
    const slot = (at << 5) + 31 - Math.clz32(free & -free);
    return slot < to ? slot : -1;
  };

  return {
    capacity,
    claim(slot) {
      requireInteger("slot", slot, 0, last);
      const word = words[slot >>> 5] ?? 0;
      const bit = 1 << (slot & 31);
      if ((word & bit) !== 0) return false;
      words[slot >>> 5] = word | bit;
      return true;
    },
    release(slot) {
      requireInteger("slot", slot, 0, last);
      const word = words[slot >>> 5] ?? 0;
      const bit = 1 << (slot & 31);
      if ((word & bit) === 0) return false;
      words[slot >>> 5] = word & ~bit;
      return true;
    },
    has(slot) {
      requireInteger("slot", slot, 0, last);
      return ((words[slot >>> 5] ?? 0) & (1 << (slot & 31))) !== 0;
    },
    nextFree(cursor) {
      requireInteger("cursor", cursor, -1, last);
      const ahead = scan(cursor + 1, capacity);
      const slot = ahead >= 0 ? ahead : scan(0, cursor + 1);
      return slot < 0 ? null : slot;
    },
    count() {
      let total = 0;
      for (let at = 0; at < words.length; at++) total += countOnes(words[at] ?? 0);
      return total;
    },
    bytes: () => bytes.slice(),
    load(bitmap) {
      requireLength(bitmap, bytes.length);
      bytes.set(bitmap);
      for (let slot = capacity; slot < bytes.length * 8; slot++) {
        words[slot >>> 5] = (words[slot >>> 5] ?? 0) & ~(1 << (slot & 31));
      }
    },
  };
}

/** Ones of a 32-bit word, by sums of neighbours (Warren, Hacker's Delight, §5–1). */
export function countOnes(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
