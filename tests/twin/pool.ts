import { type AddressPool, bitmapBytes, MAX_SLOTS } from "../../src/ipam/pool.ts";

/**
 * The plain-TypeScript twin of the WASM pool: one byte per slot (0 free, 1 used) and loops that read like the
 * doc comments of AddressPool. Slow on purpose; it exists to be obviously right.
 *
 * Throws RangeError for a capacity, slot or cursor out of range, a fraction or NaN.
 */
export function createTwinPool(capacity: number): AddressPool {
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_SLOTS) {
    throw new RangeError(`capacity ${capacity}`);
  }
  const used = new Uint8Array(capacity);

  const checkSlot = (slot: number): void => {
    if (!Number.isInteger(slot) || slot < 0 || slot >= capacity) throw new RangeError(`slot ${slot}`);
  };
  const mark = (slot: number, value: 0 | 1): boolean => {
    checkSlot(slot);
    if (used[slot] === value) return false;
    used[slot] = value;
    return true;
  };

  return {
    capacity,
    claim: (slot) => mark(slot, 1),
    release: (slot) => mark(slot, 0),
    has(slot) {
      checkSlot(slot);
      return used[slot] === 1;
    },
    nextFree(cursor) {
      if (cursor !== -1) checkSlot(cursor);
      for (let step = 1; step <= capacity; step++) {
        const slot = (cursor + step) % capacity;
        if (used[slot] === 0) return slot;
      }
      return null;
    },
    count() {
      let total = 0;
      for (const value of used) total += value;
      return total;
    },
    bytes() {
      const bitmap = new Uint8Array(bitmapBytes(capacity));
      for (let slot = 0; slot < capacity; slot++) {
        if (used[slot] === 1) bitmap[slot >> 3] = (bitmap[slot >> 3] ?? 0) | (1 << (slot & 7));
      }
      return bitmap;
    },
    load(bitmap) {
      if (bitmap.length !== bitmapBytes(capacity)) throw new RangeError(`length ${bitmap.length}`);
      for (let slot = 0; slot < capacity; slot++) {
        used[slot] = ((bitmap[slot >> 3] ?? 0) >> (slot & 7)) & 1;
      }
    },
  };
}
