import { type AddressPool, bitmapBytes, MAX_SLOTS, requireInteger, requireLength } from "../ipam/pool.ts";
import { instantiatePool, type PoolExports } from "./module.ts";

/**
 * An empty pool of `capacity` slots (1 … MAX_SLOTS) kept in its own WASM memory.
 *
 * Every argument is checked here, before the call, because the WASM side checks none. Throws RangeError for
 * a capacity, slot or cursor (−1 … capacity−1) out of range, a fraction or NaN.
 */
export function createWasmPool(capacity: number): AddressPool {
  return openPool(instantiatePool(), capacity);
}

let shared: PoolExports | null = null;

/**
 * As {@link createWasmPool}, in one instance for the whole process: a pool is of no use any more once the next one was
 * made. For whoever takes an address and is done, within one turn of the event loop. A fresh instance starts with cold code
 * (0.5 ms for an allocation in place of 0.05).
 */
export function borrowWasmPool(capacity: number): AddressPool {
  shared ??= instantiatePool();
  return openPool(shared, capacity);
}

function openPool(wasm: PoolExports, capacity: number): AddressPool {
  requireInteger("capacity", capacity, 1, MAX_SLOTS);
  wasm.init(capacity);
  const last = capacity - 1;
  // Safe to keep: the memory has a fixed size, so its buffer is never replaced by a grow.
  const bitmap = new Uint8Array(wasm.memory.buffer, wasm.bitmapPtr(), bitmapBytes(capacity));

  return {
    capacity,
    claim(slot) {
      requireInteger("slot", slot, 0, last);
      return wasm.claim(slot) === 1;
    },
    release(slot) {
      requireInteger("slot", slot, 0, last);
      return wasm.release(slot) === 1;
    },
    has(slot) {
      requireInteger("slot", slot, 0, last);
      return wasm.has(slot) === 1;
    },
    nextFree(cursor) {
      requireInteger("cursor", cursor, -1, last);
      const slot = wasm.nextFree(cursor);
      return slot < 0 ? null : slot;
    },
    count: () => wasm.count(),
    bytes: () => bitmap.slice(),
    load(bytes) {
      requireLength(bytes, bitmap.length);
      bitmap.set(bytes);
      wasm.trim();
    },
  };
}
