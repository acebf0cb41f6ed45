import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  createRandom,
  median,
  medianInterval,
  quantile,
  quotientInterval,
  ratioInterval,
} from "../../../../src/entry/bench/statistics.ts";

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const finite = fc.double({ min: 0.001, max: 1e6, noNaN: true });

describe("quantile", () => {
  test.each([
    [[5], 0.95, 5],
    [[1, 2, 3, 4], 0.5, 2.5],
    [[4, 1, 3, 2], 0.5, 2.5],
    [upTo(101), 0.95, 96],
    [[1, 3], 0.25, 1.5],
  ])("of %j at %d is %d", (values, q, wanted) => {
    expect(quantile(values, q)).toBeCloseTo(wanted, 10);
  });

  test("of nothing is no number", () => {
    expect(median([])).toBeNaN();
  });
});

describe("medianInterval", () => {
  // The ranks of Conover's table A3 and of every text on the sign test: n, lowest and highest rank at 95 %.
  test.each([
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [12, 3, 10],
    [15, 4, 12],
    [20, 6, 15],
    [25, 8, 18],
    [50, 18, 33],
    [100, 40, 61],
  ])("of %d values is from the %dth to the %dth", (count, low, high) => {
    expect(medianInterval(upTo(count))).toEqual({ low, high });
  });

  test("of fewer than six is the whole range", () => {
    expect(medianInterval([3, 1, 2])).toEqual({ low: 1, high: 3 });
  });

  test("of more than a thousand goes on as that of a thousand", () => {
    const [at1000, at1001] = [medianInterval(upTo(1000)), medianInterval(upTo(1001))];
    expect(Math.abs(at1001.low - at1000.low)).toBeLessThanOrEqual(1);
    expect(Math.abs(at1001.high - at1000.high)).toBeLessThanOrEqual(2);
  });

  test("holds the true median in 95 of 100 samples, however skewed", () => {
    const random = createRandom(1);
    let held = 0;
    for (let sample = 0; sample < 2_000; sample++) {
      // Exponential: its median is ln 2.
      const { low, high } = medianInterval(Array.from({ length: 21 }, () => -Math.log(1 - random())));
      if (low <= Math.LN2 && Math.LN2 <= high) held++;
    }
    expect(held / 2_000).toBeGreaterThan(0.94);
    expect(held / 2_000).toBeLessThan(0.99);
  });

  test("always holds the median of its own values", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 80 }), (values) => {
        const { low, high } = medianInterval(values);
        expect(low).toBeLessThanOrEqual(median(values));
        expect(high).toBeGreaterThanOrEqual(median(values));
      }),
    );
  });
});

describe("ratioInterval", () => {
  test("of values that are twice the others is 2, and sure, however much both vary together", () => {
    const random = createRandom(7);
    const others = Array.from({ length: 40 }, () => 10 + 5 * random());
    const { ratio, low, high } = ratioInterval(
      others.map((value) => value * 2),
      others,
    );
    expect([ratio, low, high]).toEqual([2, 2, 2]);
  });

  test("holds the true ratio of noisy values, and is the same for the same values", () => {
    const random = createRandom(3);
    const noisy = (value: number) => value * (0.9 + 0.2 * random());
    const [mine, theirs] = [
      Array.from({ length: 60 }, () => noisy(30)),
      Array.from({ length: 60 }, () => noisy(10)),
    ];
    const found = ratioInterval(mine, theirs);
    expect(found.low).toBeLessThan(3);
    expect(found.high).toBeGreaterThan(3);
    expect(found.high - found.low).toBeLessThan(0.4);
    expect(ratioInterval(mine, theirs)).toEqual(found);
  });
});

describe("quotientInterval", () => {
  const known = (value: number, part: number) => ({
    median: value,
    low: value / (1 + part),
    high: value * (1 + part),
  });

  test("is as wide as that of the one value when the other one is sure", () => {
    const { ratio, low, high } = quotientInterval(known(30, 0.1), known(10, 0));
    expect([ratio, low, high].map((value) => Number(value.toFixed(6)))).toEqual([3, 2.727273, 3.3]);
  });

  test("adds what is not known of both, as errors add that know nothing of each other", () => {
    const { low, high } = quotientInterval(known(10, 0.1), known(10, 0.1));
    expect(high).toBeCloseTo(1.1 ** Math.SQRT2, 10);
    expect(low).toBeCloseTo(1 / high, 10);
  });
});

test("createRandom gives numbers of 0 … 1, evenly, the same for the same seed", () => {
  const draw = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 10_000 }, random);
  };
  const numbers = draw(42);
  expect(numbers).toEqual(draw(42));
  expect(numbers).not.toEqual(draw(43));
  expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
  expect(Math.abs(numbers.reduce((sum, number) => sum + number, 0) / 10_000 - 0.5)).toBeLessThan(0.02);
});
