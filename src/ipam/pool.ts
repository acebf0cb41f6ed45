/** What an allocator needs of a bitmap over `capacity` slots (slot 0 is the first address of the first window). */
export interface AddressPool {
  /** Number of slots; 1 … MAX_SLOTS. */
  readonly capacity: number;
  /** Marks a slot as used. False when it already was. Throws RangeError outside 0 … capacity−1. */
  claim(slot: number): boolean;
  /** Marks a slot as free. False when it already was. Throws RangeError outside 0 … capacity−1. */
  release(slot: number): boolean;
  /** Whether a slot is used. Throws RangeError outside 0 … capacity−1. */
  has(slot: number): boolean;
  /**
   * The first free slot strictly after `cursor`, wrapping round to 0 and ending with `cursor` itself;
   * `cursor` −1 starts at 0. Null when every slot is used.
   */
  nextFree(cursor: number): number | null;
  /** Number of used slots. */
  count(): number;
  /** The bitmap, byte i>>3, bit i&7 (little-endian 64-bit words); length is `bitmapBytes(capacity)`. A copy. */
  bytes(): Uint8Array;
  /** Replaces the bitmap; bits at or beyond `capacity` are ignored. Throws RangeError on a wrong length. */
  load(bytes: Uint8Array): void;
}

/** A range of a /12 (IPv4) has 2^20 addresses; an IPv6 range is served by a window of the same size. */
export const MAX_SLOTS = 1 << 20;

/** Bytes of the bitmap for `capacity` slots: whole 64-bit words. */
export function bitmapBytes(capacity: number): number {
  return Math.ceil(capacity / 64) * 8;
}

/** Makes an empty pool; the WASM module and the plain-TypeScript twin both offer one. */
export type PoolFactory = (capacity: number) => AddressPool;

/** Throws RangeError unless `value` is a whole number in `least` … `most`; WASM would truncate it silently. */
export function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be an integer in ${least} … ${most}, got ${value}`);
  }
}

/** Throws RangeError unless a bitmap is as long as that of the pool, in bytes. */
export function requireLength(bitmap: Uint8Array, wanted: number): void {
  if (bitmap.length !== wanted) {
    throw new RangeError(`bitmap must be ${wanted} bytes, got ${bitmap.length}`);
  }
}
