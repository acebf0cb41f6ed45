import {
  type AddressPool,
  bitmapBytes,
  MAX_SLOTS,
  requireInteger,
  requireLength,
} from "../../../ipam/pool.ts";
import { formatAddress, parseAddress } from "../../../net/address.ts";

/** A pool that needs no slots where addresses come and go as text. */
export interface StringPool extends AddressPool {
  /** Marks an address as used; false when it already was. */
  claimText(text: string): boolean;
  /** Marks an address as free; false when it already was. */
  releaseText(text: string): boolean;
  /** As `nextFree`, from an address to an address. Throws RangeError when the cursor is none. */
  nextText(cursor: string): string | null;
}

/**
 * A rival of the WASM pool, as it is written first in JavaScript: a Set of the texts of used addresses. The next free one
 * is found by asking for one address after the other. `first`: IPv4 text of slot 0. Throws RangeError as the WASM pool
 * does.
 */
export function createStringPool(capacity: number, first: string): StringPool {
  requireInteger("capacity", capacity, 1, MAX_SLOTS);
  const last = capacity - 1;
  const start = numberOf(first);
  const used = new Set<string>();
  const textOf = (slot: number) => formatAddress({ family: 4, value: BigInt(start + slot) });

  const claimText = (text: string): boolean => {
    if (used.has(text)) return false;
    used.add(text);
    return true;
  };
  const releaseText = (text: string): boolean => used.delete(text);
  /** The next free slot with its text, which is at hand then. */
  const search = (cursor: number): { slot: number; text: string } | null => {
    for (let step = 1; step <= capacity; step++) {
      const slot = (cursor + step) % capacity;
      const text = textOf(slot);
      if (!used.has(text)) return { slot, text };
    }
    return null;
  };

  return {
    capacity,
    claimText,
    releaseText,
    nextText: (cursor) => search(numberOf(cursor) - start)?.text ?? null,
    claim(slot) {
      requireInteger("slot", slot, 0, last);
      return claimText(textOf(slot));
    },
    release(slot) {
      requireInteger("slot", slot, 0, last);
      return releaseText(textOf(slot));
    },
    has(slot) {
      requireInteger("slot", slot, 0, last);
      return used.has(textOf(slot));
    },
    nextFree(cursor) {
      requireInteger("cursor", cursor, -1, last);
      return search(cursor)?.slot ?? null;
    },
    count: () => used.size,
    bytes() {
      const bitmap = new Uint8Array(bitmapBytes(capacity));
      for (let slot = 0; slot < capacity; slot++) {
        if (used.has(textOf(slot))) bitmap[slot >> 3] = (bitmap[slot >> 3] ?? 0) | (1 << (slot & 7));
      }
      return bitmap;
    },
    load(bitmap) {
      requireLength(bitmap, bitmapBytes(capacity));
      used.clear();
      for (let slot = 0; slot < capacity; slot++) {
        if ((((bitmap[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 1) used.add(textOf(slot));
      }
    },
  };
}

function numberOf(text: string): number {
  const address = parseAddress(text);
  if (address?.family !== 4) throw new RangeError(`wanted an IPv4 address, got ${text}`);
  return Number(address.value);
}
