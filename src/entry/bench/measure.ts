/** Parts of the benchmarks, each by a command of its own. */
export const SUITES = ["alloc", "routes", "cni", "network"] as const;
export type SuiteName = (typeof SUITES)[number];

/** Units of {@link Measure}; MiB are 2^20 bytes, Mbit/s 10^6 bits a second. */
export const UNITS = ["ns", "µs", "ms", "MiB", "Mbit/s"] as const;
export type Unit = (typeof UNITS)[number];

/** A 95 % confidence interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** How many times the value of the measure it stands in is that of another subject, measured in turns with it. */
export interface Ratio extends Interval {
  readonly to: string;
  readonly ratio: number;
}

/** Which quantity of which subject: the four parts of it name a measure, in every run. */
export interface MeasureKey {
  readonly suite: SuiteName;
  /** What was done, under which conditions: "sequential, full node". */
  readonly scenario: string;
  /** What was measured of it: "ADD", "ADD CPU". */
  readonly metric: string;
  /** Who did it: "minicni", "floor", "bridge + host-local 1.1.1". */
  readonly subject: string;
}

/** One measured quantity. All values in `unit`. */
export interface Measure extends MeasureKey {
  readonly unit: Unit;
  /** Which values are the better ones. */
  readonly better: "less" | "more";
  readonly median: number;
  /** Interval of the median. */
  readonly low: number;
  readonly high: number;
  /** 95th percentile of single calls. */
  readonly p95: number;
  /** Turns it was measured in; a turn is one call, or a batch of many. */
  readonly turns: number;
  /** To the subjects that this scenario takes as its references, itself apart. */
  readonly ratios: readonly Ratio[];
}

/** The subject that does the kernel work of a call and nothing else (`cni/floor.c`). */
export const FLOOR = "floor";
/** A call as a node has it: the launcher hands it to the node's agent. In the suite `alloc`, the binary. */
export const SERVED = "minicni";
/** The binary alone, without an agent. In results that know no such subject it was called "minicni". */
export const STANDALONE = "minicni standalone";

/** A median is called stable when half its interval is at most this part of it. */
const STABLE = 0.05;
/** Fewer turns have no 95 % interval of the median (see `medianInterval`). */
export const LEAST_TURNS = 6;

/** Half of the interval as a part of the median: 0.05 is ± 5 %. */
export function spreadOf({ median, low, high }: Interval & { readonly median: number }): number {
  return median === 0 ? 0 : (high - low) / 2 / Math.abs(median);
}

/** Whether the median is known to ± 5 %. */
export function isStable(measure: Pick<Measure, "median" | "low" | "high" | "turns">): boolean {
  return measure.turns >= LEAST_TURNS && spreadOf(measure) <= STABLE;
}

/** The four parts in one line; no part may hold a "|". */
export function formatKey({ suite, scenario, metric, subject }: MeasureKey): string {
  return [suite, scenario, metric, subject].join(" | ");
}
