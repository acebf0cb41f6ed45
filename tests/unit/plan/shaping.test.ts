import { describe, expect, test } from "bun:test";
import { hasBucket } from "../../../src/plan/shaping.ts";

const seen = (rate: number, burst: number, limit = 9000) => ({
  bucket: { rate, burst, limit },
  redirectedTo: null,
});

describe("a bucket", () => {
  test("that is not there is none", () => {
    expect(hasBucket({ bucket: null, redirectedTo: 5 }, { rate: 1000, burst: 5000, limit: 9000 })).toBe(
      false,
    );
  });

  test("of another rate or limit is another one", () => {
    const wanted = { rate: 125_000, burst: 5000, limit: 9000 };
    expect(hasBucket(seen(125_000, 5000), wanted)).toBe(true);
    expect(hasBucket(seen(125_001, 5000), wanted)).toBe(false);
    expect(hasBucket(seen(125_000, 5000, 9001), wanted)).toBe(false);
  });

  test.each([
    // A unit of 64 ns is 8 bytes at 1 Gbit/s, 640 at 80 Gbit/s.
    [125_000, 5000, [4999, 5001], [4997, 5003]],
    [125_000_000, 5000, [4992, 5000], [4980, 5020]],
    [10_000_000_000, 5000, [4480, 5000], [3000, 7000]],
  ])("at %d bytes/s with a burst of %d: %j are the same, %j are not", (rate, burst, same, others) => {
    for (const it of same) expect(hasBucket(seen(rate, it), { rate, burst, limit: 9000 })).toBe(true);
    for (const it of others) expect(hasBucket(seen(rate, it), { rate, burst, limit: 9000 })).toBe(false);
  });

  test("that lasts longer than the kernel's counter begins at 0 again", () => {
    // 274.877906944 s at 1 Mbit/s are 34,359,738.368 bytes; 268,435,455 are 7.81 times that.
    const wanted = { rate: 125_000, burst: 268_435_455, limit: 9000 };
    expect(hasBucket(seen(125_000, 27_917_286), wanted)).toBe(true);
    expect(hasBucket(seen(125_000, 27_917_290), wanted)).toBe(false);
    expect(hasBucket(seen(125_000, 268_435_455), wanted)).toBe(true);
    // Just below it, what is shown may lie just above 0, and the other way round.
    expect(hasBucket(seen(125_000, 0), { ...wanted, burst: 34_359_738 })).toBe(true);
    expect(hasBucket(seen(125_000, 34_359_738), { ...wanted, burst: 68_719_477 })).toBe(true);
    expect(hasBucket(seen(125_000, 17_000_000), { ...wanted, burst: 1 })).toBe(false);
  });
});
