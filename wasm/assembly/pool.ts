// A bitmap of address slots in a fixed linear memory. Only numbers cross the border: no strings, no objects,
// no allocator, no imports. Ranges are checked by the caller (src/wasm/pool.ts), never here.
//
// Memory map (3 pages of 64 KiB, never grows; wasm/asconfig.json pins initialMemory = maximumMemory = 3):
//
//   0x00000 +------------------------------+
//           | page 0: unused, never        |  keeps the compiler's static data (there is none today)
//           | touched, costs no memory     |  and address 0 away from the bitmap
//   0x10000 +------------------------------+  BITMAP
//           | word 0     slots    0 …   63 |  little-endian u64; slot s is bit s & 63 of word s >> 6,
//           | word 1     slots   64 …  127 |  which is also bit s & 7 of byte s >> 3
//           | …                            |
//           | word 16383 slots … 2^20 − 1  |
//   0x30000 +------------------------------+  BITMAP + 128 KiB (2^20 bits) = end of memory
//
// Invariant: bits at or beyond `slots` are zero. claim() never sets them and trim() clears what a load
// brought in, so count() needs no mask, and a scan need only refuse a hit beyond its end.

/** Where the bitmap starts, in bytes. */
const BITMAP: usize = 0x10000;

/** Number of slots in use by this pool, set by init(). */
let slots: i32 = 0;
/** Number of 64-bit words that hold them. */
let words: i32 = 0;

/** Byte address of the word that holds `slot`. */
function wordOf(slot: i32): usize {
  return BITMAP + ((<usize>(slot >>> 6)) << 3);
}

/** The bit of `slot` inside its word. */
function bitOf(slot: i32): u64 {
  return (<u64>1) << (<u64>(slot & 63));
}

/** The first free slot in from … to−1, or −1. Needs 0 <= from and to <= slots. */
function scan(from: i32, to: i32): i32 {
  if (from >= to) return -1;
  const last = wordOf(to - 1);
  let at = wordOf(from);
  // Free slots are ones here; those of the first word that lie before `from` are masked off.
  let free = ~load<u64>(at) & (~(<u64>0) << (<u64>(from & 63)));
  while (free == 0) {
    if (at == last) return -1;
    at += 8;
    free = ~load<u64>(at);
  }
  const slot = <i32>((at - BITMAP) << 3) + <i32>ctz<u64>(free);
  return slot < to ? slot : -1;
}

/** Byte address of the bitmap in the exported memory. */
export function bitmapPtr(): i32 {
  return <i32>BITMAP;
}

/** Makes the pool empty with `capacity` slots, 1 … 2^20. Touches only the words in use: small pools stay cheap. */
export function init(capacity: i32): void {
  slots = capacity;
  words = (capacity + 63) >>> 6;
  memory.fill(BITMAP, 0, (<usize>words) << 3);
}

/** Clears the bits at or beyond the capacity; call it after writing the bitmap from outside. */
export function trim(): void {
  const used = slots & 63;
  if (used == 0) return;
  const at = wordOf(slots);
  store<u64>(at, load<u64>(at) & (bitOf(used) - 1));
}

/** Marks a slot as used: 1, or 0 when it already was. */
export function claim(slot: i32): i32 {
  const at = wordOf(slot);
  const word = load<u64>(at);
  const bit = bitOf(slot);
  if ((word & bit) != 0) return 0;
  store<u64>(at, word | bit);
  return 1;
}

/** Marks a slot as free: 1, or 0 when it already was. */
export function release(slot: i32): i32 {
  const at = wordOf(slot);
  const word = load<u64>(at);
  const bit = bitOf(slot);
  if ((word & bit) == 0) return 0;
  store<u64>(at, word & ~bit);
  return 1;
}

/** 1 when the slot is used, else 0. */
export function has(slot: i32): i32 {
  return (load<u64>(wordOf(slot)) & bitOf(slot)) != 0 ? 1 : 0;
}

/** The first free slot after `cursor` (−1 … capacity−1), wrapping round and ending with it; −1 when full. */
export function nextFree(cursor: i32): i32 {
  const ahead = scan(cursor + 1, slots);
  return ahead >= 0 ? ahead : scan(0, cursor + 1);
}

/** Number of used slots. */
export function count(): i32 {
  let total: u64 = 0;
  const end = BITMAP + ((<usize>words) << 3);
  for (let at = BITMAP; at < end; at += 8) total += popcnt<u64>(load<u64>(at));
  return <i32>total;
}
