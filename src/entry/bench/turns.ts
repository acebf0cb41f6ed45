import { isStable, type Measure, type MeasureKey, type Ratio, type Unit } from "./measure.ts";
import { median, medianInterval, quantile, ratioInterval } from "./statistics.ts";

/** What one turn found of one quantity: one call's value twice, or the median and 95th percentile of a batch. */
export interface Reading {
  readonly median: number;
  readonly p95: number;
}

/** All that one turn found, by metric. */
export type Turn = Readonly<Record<string, Reading>>;

/** One that is measured beside others. */
export interface Contestant {
  readonly subject: string;
  readonly turn: () => Promise<Turn> | Turn;
}

/** How often turns are taken. */
export interface TurnLimits {
  /** Turns that each contestant gets, stable or not; and those it gets at most. */
  readonly least: number;
  readonly most: number;
  /** Once so many milliseconds have gone by, and the least is done, no turn begins. */
  readonly withinMs: number;
  /** Metrics whose medians have to be stable before it is enough; all of them when absent. */
  readonly steady?: readonly string[];
}

/** What metrics are measured in, and whose ratios are wanted. */
export interface Metrics {
  readonly units: Readonly<Record<string, Unit>>;
  /** Metrics where more is better. */
  readonly more?: readonly string[];
  /** Subjects to which the ratios of all others are taken. */
  readonly references: readonly string[];
}

/** A reading of one single call. */
export function single(value: number): Reading {
  return { median: value, p95: value };
}

/** A reading of a batch of calls. */
export function batch(values: readonly number[]): Reading {
  return { median: median(values), p95: quantile(values, 0.95) };
}

/** The turns of whole rounds, by subject: as many of each. */
export type Taken = ReadonlyMap<string, readonly Turn[]>;

/**
 * Lets the contestants take turns (A B A B …) until the medians of all of them are stable, so that whatever the machine
 * does meanwhile falls on all alike; ends early when `isStopped`. `use` gets what there is of whole rounds, if any, also
 * when a turn fails or is cut off by an interruption: its error is thrown afterwards.
 */
export async function takeTurns(
  contestants: readonly Contestant[],
  limits: TurnLimits,
  isStopped: () => boolean,
  use: (taken: Taken) => void,
): Promise<void> {
  const taken = new Map(contestants.map(({ subject }) => [subject, [] as Turn[]] as const));
  let rounds = 0;
  try {
    for (const began = performance.now(); rounds < limits.most && !isStopped(); rounds++) {
      if (rounds >= limits.least) {
        if (performance.now() - began > limits.withinMs) break;
        if ([...taken.values()].every((turns) => areStable(turns, limits.steady))) break;
      }
      const found: Turn[] = [];
      for (const { turn } of contestants) {
        if (isStopped()) return;
        found.push(await turn());
      }
      contestants.forEach(({ subject }, index) => {
        taken.get(subject)?.push(found[index] ?? {});
      });
    }
  } finally {
    if (rounds > 0) use(taken);
  }
}

function areStable(
  turns: readonly Turn[],
  metrics: readonly string[] = Object.keys(turns[0] ?? {}),
): boolean {
  return metrics.every((metric) => {
    const values = valuesOf(turns, metric);
    return isStable({ median: median(values), ...medianInterval(values), turns: values.length });
  });
}

function valuesOf(turns: readonly Turn[], metric: string): number[] {
  return turns.flatMap((turn) => turn[metric]?.median ?? []);
}

/** The measures of turns that were taken together; of a subject without a turn there is none. */
export function summarise(
  key: Pick<MeasureKey, "suite" | "scenario">,
  taken: Taken,
  { units, more = [], references }: Metrics,
): Measure[] {
  return Object.entries(units).flatMap(([metric, unit]) =>
    [...taken].flatMap(([subject, turns]): Measure[] => {
      const values = valuesOf(turns, metric);
      if (values.length === 0) return [];
      const ratios = references.flatMap((to): Ratio[] => {
        const others = valuesOf(taken.get(to) ?? [], metric);
        if (to === subject || others.length !== values.length) return [];
        return [{ to, ...ratioInterval(values, others) }];
      });
      return [
        {
          ...key,
          metric,
          subject,
          unit,
          better: more.includes(metric) ? "more" : "less",
          median: median(values),
          ...medianInterval(values),
          p95: p95Of(turns.flatMap((turn) => turn[metric] ?? [])),
          turns: values.length,
          ratios,
        },
      ];
    }),
  );
}

/** Of single calls their 95th percentile; of batches the median of theirs. */
function p95Of(readings: readonly Reading[]): number {
  const areSingle = readings.every((reading) => reading.median === reading.p95);
  return areSingle
    ? quantile(
        readings.map((reading) => reading.median),
        0.95,
      )
    : median(readings.map(({ p95 }) => p95));
}
