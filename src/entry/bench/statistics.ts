import type { Interval } from "./measure.ts";

/** Resamplings of the bootstrap; with 2,000 the ends of a 95 % interval move by less than a tenth of its width. */
const RESAMPLINGS = 2_000;
/** 97.5th percentile of the normal distribution: half the width of a 95 % interval in standard errors. */
const Z = 1.96;

/** The value below which the part `q` (0 … 1) of the values lies, interpolated; NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = sort(values);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The value in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/**
 * The 95 % confidence interval of the median by order statistics: the k-th smallest and k-th largest value, with the
 * largest k for which both tails of the binomial distribution (n, ½) together are at most 5 %. It assumes nothing about
 * how the values are distributed (Conover, Practical Nonparametric Statistics, §3.2). Below six values there is no such
 * k: then it is the whole range, which is less than 95 %.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = sort(values);
  const count = sorted.length;
  let tail = 0.5 ** count;
  let term = tail;
  let cut = 0;
  // Beyond a thousand values 0.5^n is no number any more; the normal approximation is exact enough long before.
  if (count > 1_000) cut = Math.floor((count - 1.96 * Math.sqrt(count)) / 2);
  else {
    while (2 * (tail + (term * (count - cut)) / (cut + 1)) <= 0.05) {
      term = (term * (count - cut)) / (cut + 1);
      tail += term;
      cut++;
    }
  }
  return { low: sorted[cut] ?? Number.NaN, high: sorted[count - 1 - cut] ?? Number.NaN };
}

/**
 * The ratio of two medians and its 95 % interval by a percentile bootstrap over pairs: the values with one index were
 * measured one after the other, so a slow moment of the machine is in both. Needs as many values of each; the same
 * values give the same interval.
 */
export function ratioInterval(
  values: readonly number[],
  others: readonly number[],
): Interval & { readonly ratio: number } {
  const random = createRandom(values.length);
  const ratios: number[] = [];
  for (let round = 0; round < RESAMPLINGS; round++) {
    const mine: number[] = [];
    const theirs: number[] = [];
    for (let turn = 0; turn < values.length; turn++) {
      const index = Math.floor(random() * values.length);
      mine.push(values[index] ?? Number.NaN);
      theirs.push(others[index] ?? Number.NaN);
    }
    ratios.push(median(mine) / median(theirs));
  }
  return {
    ratio: median(values) / median(others),
    low: quantile(ratios, 0.025),
    high: quantile(ratios, 0.975),
  };
}

/**
 * A quotient of two values that are known to an interval each and were not measured in turns. The intervals are taken as
 * normal in the logarithm, in which a quotient is a difference and standard errors add as squares.
 */
export function quotientInterval(
  a: Interval & { readonly median: number },
  b: Interval & { readonly median: number },
): Interval & { readonly ratio: number } {
  const error = (value: Interval) => Math.log(value.high / value.low) / (2 * Z);
  const ratio = a.median / b.median;
  const width = Math.exp(Z * Math.hypot(error(a), error(b)));
  return { ratio, low: ratio / width, high: ratio * width };
}

/** Numbers in 0 … 1, the same for the same seed (mulberry32): intervals and workloads can be told again. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sort(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}
