import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type AddressPool, bitmapBytes, MAX_SLOTS } from "../../../src/ipam/pool.ts";
import { createWasmPool } from "../../../src/wasm/pool.ts";
import { createTwinPool } from "../../twin/pool.ts";

/** One call on a pool. `at` is any natural number, folded into the pool's range where it is applied. */
type Operation =
  | { readonly kind: "claim" | "release" | "has" | "nextFree" | "take"; readonly at: number }
  | { readonly kind: "fill" | "drain"; readonly at: number; readonly length: number }
  | { readonly kind: "load"; readonly seed: Uint8Array }
  | { readonly kind: "count" | "bytes" };

/** A capacity near a word border often, anywhere up to 1000 otherwise. */
const capacities = fc.oneof(
  fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: -2, max: 2 }))
    .map(([words, off]) => words * 64 + off),
  fc.integer({ min: 1, max: 1000 }),
);

/** A position near a word border often, anywhere otherwise. */
const positions = fc.oneof(
  fc.tuple(fc.nat(8), fc.integer({ min: -1, max: 1 })).map(([word, off]) => Math.max(0, word * 64 + off)),
  fc.nat(2000),
);

const operations: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constantFrom("claim", "release", "has", "nextFree", "take"), at: positions }),
  fc.record({ kind: fc.constantFrom("fill", "drain"), at: positions, length: fc.nat(300) }),
  fc.record({ kind: fc.constant("load"), seed: fc.uint8Array({ minLength: 1, maxLength: 40 }) }),
  fc.record({ kind: fc.constantFrom("count", "bytes") }),
);

/** `seed` repeated to the length a pool of `capacity` loads; bits beyond the capacity are left as they fall. */
function repeated(seed: Uint8Array, capacity: number): Uint8Array {
  return Uint8Array.from({ length: bitmapBytes(capacity) }, (_, index) => seed[index % seed.length] ?? 0);
}

/** Applies one operation and gives all it answered. */
function apply(pool: AddressPool, operation: Operation): unknown {
  switch (operation.kind) {
    case "claim":
      return pool.claim(operation.at % pool.capacity);
    case "release":
      return pool.release(operation.at % pool.capacity);
    case "has":
      return pool.has(operation.at % pool.capacity);
    case "nextFree":
      return pool.nextFree((operation.at % (pool.capacity + 1)) - 1);
    case "take": {
      const slot = pool.nextFree((operation.at % (pool.capacity + 1)) - 1);
      return slot === null ? null : [slot, pool.claim(slot)];
    }
    case "fill":
    case "drain": {
      const from = operation.at % pool.capacity;
      const length = Math.min(operation.length, pool.capacity - from);
      return Array.from({ length }, (_, index) =>
        operation.kind === "fill" ? pool.claim(from + index) : pool.release(from + index),
      );
    }
    case "load":
      return pool.load(repeated(operation.seed, pool.capacity));
    case "count":
      return pool.count();
    case "bytes":
      return pool.bytes();
  }
}

/** Fails unless both pools hold the same bitmap, the same count and find the same slot from every cursor given. */
function expectSame(wasm: AddressPool, twin: AddressPool, cursors: readonly number[]): void {
  expect(wasm.bytes()).toEqual(twin.bytes());
  expect(wasm.count()).toBe(twin.count());
  expect(cursors.map((cursor) => wasm.nextFree(cursor))).toEqual(
    cursors.map((cursor) => twin.nextFree(cursor)),
  );
}

describe("WASM pool against its twin", () => {
  test("any sequence of operations answers the same", () => {
    fc.assert(
      fc.property(capacities, fc.array(operations, { maxLength: 40 }), (capacity, sequence) => {
        const wasm = createWasmPool(capacity);
        const twin = createTwinPool(capacity);
        for (const operation of sequence) expect(apply(wasm, operation)).toEqual(apply(twin, operation));
        expectSame(wasm, twin, [-1, 0, capacity - 1]);
      }),
      { numRuns: 500 },
    );
  });

  test("a free slot is found from every cursor alike around word borders", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60, max: 200 }),
        fc.uniqueArray(fc.constantFrom(0, 1, 62, 63, 64, 65, 126, 127, 128, 129, 191, 192, 199), {
          maxLength: 4,
        }),
        (capacity, free) => {
          const wasm = createWasmPool(capacity);
          const twin = createTwinPool(capacity);
          const bitmap = new Uint8Array(bitmapBytes(capacity)).fill(0xff);
          for (const pool of [wasm, twin]) {
            pool.load(bitmap);
            for (const slot of free) if (slot < capacity) pool.release(slot);
          }
          expectSame(
            wasm,
            twin,
            Array.from({ length: capacity + 1 }, (_, index) => index - 1),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a full pool gives back exactly the slots released from it", () => {
    fc.assert(
      fc.property(
        capacities,
        fc.array(fc.nat(2000), { maxLength: 30 }),
        fc.nat(2000),
        (capacity, picks, start) => {
          const wasm = createWasmPool(capacity);
          const twin = createTwinPool(capacity);
          for (let slot = 0; slot < capacity; slot++) expect(wasm.claim(slot)).toBe(twin.claim(slot));
          const released = new Set(picks.map((pick) => pick % capacity));
          for (const slot of released) expect(wasm.release(slot)).toBe(twin.release(slot));
          expectSame(wasm, twin, [-1, start % capacity, ...released]);

          const found: number[] = [];
          let cursor = start % capacity;
          for (let slot = wasm.nextFree(cursor); slot !== null; slot = wasm.nextFree(cursor)) {
            wasm.claim(slot);
            found.push(slot);
            cursor = slot;
          }
          expect(found.toSorted((a, b) => a - b)).toEqual([...released].toSorted((a, b) => a - b));
          expect(wasm.count()).toBe(capacity);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a sparse pool of 2^20 slots finds the same slot", () => {
    const wasm = createWasmPool(MAX_SLOTS);
    const twin = createTwinPool(MAX_SLOTS);
    const full = new Uint8Array(bitmapBytes(MAX_SLOTS)).fill(0xff);
    for (const pool of [wasm, twin]) pool.load(full);
    fc.assert(
      fc.property(fc.nat(MAX_SLOTS - 1), fc.integer({ min: -1, max: MAX_SLOTS - 1 }), (slot, cursor) => {
        expect(wasm.release(slot)).toBe(twin.release(slot));
        expect(wasm.nextFree(cursor)).toBe(twin.nextFree(cursor));
        expect(wasm.claim(slot)).toBe(twin.claim(slot));
      }),
      { numRuns: 200 },
    );
  });
});
