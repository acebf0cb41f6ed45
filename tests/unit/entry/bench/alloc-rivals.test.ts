import { describe, expect, test } from "bun:test";
import { createBigIntPool } from "../../../../src/entry/bench/alloc/bigint-pool.ts";
import { ENGINES, loadEngine } from "../../../../src/entry/bench/alloc/engines.ts";
import { createStringPool } from "../../../../src/entry/bench/alloc/string-pool.ts";
import { countOnes, createWordsPool } from "../../../../src/entry/bench/alloc/words-pool.ts";
import { describePoolContract } from "../../wasm/pool-contract.ts";

// A benchmark against wrong answers would say nothing: the rivals keep the promises of the WASM pool.
describePoolContract("Uint32Array pool", createWordsPool);
describePoolContract("BigInt pool", createBigIntPool);
describePoolContract("pool of strings", (capacity) => createStringPool(capacity, "240.16.0.1"));

test("countOnes counts the ones of a word, whatever its sign", () => {
  expect([0, 1, -1, 0x80000000, -2, 0x0f0f0f0f, 0xaaaaaaaa].map(countOnes)).toEqual([
    0, 1, 32, 1, 31, 16, 16,
  ]);
});

describe("the pool of strings", () => {
  test("takes and gives addresses as text", () => {
    const pool = createStringPool(3, "240.16.0.1");
    expect([pool.claimText("240.16.0.2"), pool.claimText("240.16.0.2"), pool.has(1)]).toEqual([
      true,
      false,
      true,
    ]);
    expect(pool.nextText("240.16.0.1")).toBe("240.16.0.3");
    expect(pool.nextText("240.16.0.3")).toBe("240.16.0.1");
    pool.claim(0);
    pool.claim(2);
    expect(pool.nextText("240.16.0.3")).toBeNull();
    expect([pool.releaseText("240.16.0.2"), pool.releaseText("240.16.0.2")]).toEqual([true, false]);
    expect(pool.nextText("240.16.0.2")).toBe("240.16.0.2");
  });

  test("refuses what is no IPv4 address", () => {
    expect(() => createStringPool(3, "fd00::1")).toThrow(RangeError);
    expect(() => createStringPool(3, "240.16.0.1").nextText("")).toThrow(RangeError);
  });
});

test("every engine loads by its name and makes empty pools", async () => {
  for (const name of ENGINES) {
    const create = await loadEngine(name);
    expect([name, create(254).capacity, create(254).count()]).toEqual([name, 254, 0]);
  }
});
