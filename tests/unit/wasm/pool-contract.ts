import { describe, expect, test } from "bun:test";
import { type AddressPool, bitmapBytes, MAX_SLOTS, type PoolFactory } from "../../../src/ipam/pool.ts";

/** Capacities on both sides of the 64-bit word borders, with the smallest pools. */
const BORDER_CAPACITIES = [1, 2, 63, 64, 65, 127, 128, 129] as const;

/** Claims `from` … `to`−1. */
function claimRange(pool: AddressPool, from: number, to: number): void {
  for (let slot = from; slot < to; slot++) pool.claim(slot);
}

/** A bitmap for `capacity` slots with every bit set, those beyond the capacity too. */
function allOnes(capacity: number): Uint8Array {
  return new Uint8Array(bitmapBytes(capacity)).fill(0xff);
}

/** Registers the example cases of AddressPool's doc comments for the pools that `factory` makes. */
export function describePoolContract(name: string, factory: PoolFactory): void {
  describe(`${name}: claiming and releasing`, () => {
    for (const capacity of BORDER_CAPACITIES) {
      test(`a new pool of ${capacity} is empty`, () => {
        const pool = factory(capacity);
        expect(pool.capacity).toBe(capacity);
        expect(pool.count()).toBe(0);
        expect(pool.bytes()).toEqual(new Uint8Array(bitmapBytes(capacity)));
      });

      test(`the last slot of ${capacity} is claimed once and released once`, () => {
        const pool = factory(capacity);
        const last = capacity - 1;
        expect([pool.claim(last), pool.claim(last), pool.has(last), pool.count()]).toEqual([
          true,
          false,
          true,
          1,
        ]);
        expect([pool.release(last), pool.release(last), pool.has(last), pool.count()]).toEqual([
          true,
          false,
          false,
          0,
        ]);
      });
    }

    test("slots on both sides of a word border do not touch each other", () => {
      const pool = factory(200);
      for (const slot of [63, 65, 127]) pool.claim(slot);
      const used = [62, 63, 64, 65, 66, 126, 127, 128].filter((slot) => pool.has(slot));
      expect(used).toEqual([63, 65, 127]);
      expect(pool.count()).toBe(3);
    });

    test("two pools share nothing", () => {
      const first = factory(100);
      const second = factory(100);
      first.claim(7);
      expect(second.has(7)).toBe(false);
      expect(second.claim(7)).toBe(true);
      first.release(7);
      expect(second.has(7)).toBe(true);
    });
  });

  describe(`${name}: finding a free slot`, () => {
    test("cursor -1 starts at slot 0", () => {
      const pool = factory(70);
      expect(pool.nextFree(-1)).toBe(0);
      pool.claim(0);
      expect(pool.nextFree(-1)).toBe(1);
    });

    test("finding does not claim", () => {
      const pool = factory(70);
      expect([pool.nextFree(-1), pool.nextFree(-1), pool.count()]).toEqual([0, 0, 0]);
    });

    test("the search starts strictly after the cursor", () => {
      const pool = factory(200);
      expect([5, 62, 63, 64, 126, 127].map((cursor) => pool.nextFree(cursor))).toEqual([
        6, 63, 64, 65, 127, 128,
      ]);
    });

    test("a cursor on the last slot wraps round to 0", () => {
      for (const capacity of BORDER_CAPACITIES) expect(factory(capacity).nextFree(capacity - 1)).toBe(0);
    });

    test("whole used words are skipped", () => {
      const pool = factory(400);
      claimRange(pool, 10, 390);
      expect([9, 200, 389].map((cursor) => pool.nextFree(cursor))).toEqual([390, 390, 390]);
    });

    test("the search wraps past used slots at both ends", () => {
      const pool = factory(130);
      claimRange(pool, 0, 66);
      claimRange(pool, 100, 130);
      expect(pool.nextFree(99)).toBe(66);
      expect(pool.nextFree(129)).toBe(66);
    });

    test("a free slot under the cursor is found last", () => {
      for (const cursor of [0, 63, 64, 65, 127, 128, 129]) {
        const pool = factory(130);
        claimRange(pool, 0, 130);
        pool.release(cursor);
        expect(pool.nextFree(cursor)).toBe(cursor);
        const other = cursor === 0 ? 129 : cursor - 1;
        pool.release(other);
        expect(pool.nextFree(cursor)).toBe(other);
      }
    });

    test("a full pool has none, from any cursor", () => {
      for (const capacity of BORDER_CAPACITIES) {
        const pool = factory(capacity);
        claimRange(pool, 0, capacity);
        expect(pool.count()).toBe(capacity);
        for (let cursor = -1; cursor < capacity; cursor++) expect(pool.nextFree(cursor)).toBeNull();
      }
    });

    test("a pool of one slot offers it from both cursors, then nothing", () => {
      const pool = factory(1);
      expect([pool.nextFree(-1), pool.nextFree(0)]).toEqual([0, 0]);
      pool.claim(0);
      expect([pool.nextFree(-1), pool.nextFree(0)]).toEqual([null, null]);
    });
  });

  describe(`${name}: the bitmap`, () => {
    test("slot s is bit s & 7 of byte s >> 3", () => {
      const pool = factory(70);
      for (const slot of [0, 9, 63, 64, 69]) pool.claim(slot);
      expect(Array.from(pool.bytes())).toEqual([1, 2, 0, 0, 0, 0, 0, 0x80, 0x21, 0, 0, 0, 0, 0, 0, 0]);
    });

    test("bytes gives a copy", () => {
      const pool = factory(70);
      const before = pool.bytes();
      pool.claim(3);
      expect(before[0]).toBe(0);
      pool.bytes().fill(0xff);
      expect(pool.count()).toBe(1);
    });

    test("what bytes gave, load restores, replacing what was there", () => {
      const source = factory(130);
      for (const slot of [0, 63, 64, 65, 127, 128, 129]) source.claim(slot);
      const target = factory(130);
      claimRange(target, 20, 40);
      const bitmap = source.bytes();
      target.load(bitmap);
      bitmap.fill(0);
      expect(target.bytes()).toEqual(source.bytes());
      expect(target.count()).toBe(7);
      expect(target.nextFree(-1)).toBe(1);
    });

    test("junk bits beyond the capacity are ignored", () => {
      for (const capacity of BORDER_CAPACITIES) {
        const pool = factory(capacity);
        pool.load(allOnes(capacity));
        expect(pool.count()).toBe(capacity);
        expect(pool.nextFree(-1)).toBeNull();
        expect(pool.release(capacity - 1)).toBe(true);
        expect(pool.nextFree(-1)).toBe(capacity - 1);
        claimRange(pool, 0, capacity);
        for (let slot = 0; slot < capacity; slot++) pool.release(slot);
        expect(pool.bytes()).toEqual(new Uint8Array(bitmapBytes(capacity)));
      }
    });

    test("a wrong length is a RangeError and changes nothing", () => {
      const pool = factory(65);
      pool.claim(64);
      for (const length of [0, 8, 9, 15, 17, 24]) {
        expect(() => pool.load(new Uint8Array(length).fill(0xff))).toThrow(RangeError);
      }
      expect([pool.count(), pool.has(64)]).toEqual([1, true]);
    });
  });

  describe(`${name}: arguments out of range`, () => {
    const never = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5, 1.5, -0.5, 2 ** 32];

    test("a bad capacity is a RangeError", () => {
      for (const capacity of [0, -1, MAX_SLOTS + 1, ...never])
        expect(() => factory(capacity)).toThrow(RangeError);
    });

    test("a bad slot is a RangeError and changes nothing", () => {
      const pool = factory(65);
      for (const slot of [-1, 65, 128, ...never]) {
        expect(() => pool.claim(slot)).toThrow(RangeError);
        expect(() => pool.release(slot)).toThrow(RangeError);
        expect(() => pool.has(slot)).toThrow(RangeError);
      }
      expect(pool.count()).toBe(0);
    });

    test("a bad cursor is a RangeError", () => {
      const pool = factory(65);
      for (const cursor of [-2, 65, 128, ...never]) expect(() => pool.nextFree(cursor)).toThrow(RangeError);
    });
  });

  describe(`${name}: the largest pool`, () => {
    test("2^20 slots work to the last one", () => {
      const pool = factory(MAX_SLOTS);
      expect(pool.bytes().length).toBe(131_072);
      expect(pool.claim(MAX_SLOTS - 1)).toBe(true);
      expect(pool.nextFree(MAX_SLOTS - 2)).toBe(0);
      pool.load(allOnes(MAX_SLOTS));
      expect([pool.count(), pool.nextFree(-1), pool.nextFree(MAX_SLOTS - 1)]).toEqual([
        MAX_SLOTS,
        null,
        null,
      ]);
      pool.release(MAX_SLOTS - 1);
      expect([pool.nextFree(-1), pool.count()]).toEqual([MAX_SLOTS - 1, MAX_SLOTS - 1]);
    });
  });
}
