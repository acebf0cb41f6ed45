import { Bench } from "tinybench";
import { batch, type Reading } from "../turns.ts";

/** One sample of a quantity: `run` does it `size` times and is timed, the others make ready and take back. */
export interface Trial {
  readonly size: number;
  readonly prepare: () => void;
  readonly run: () => void;
  readonly restore: () => void;
}

/** Makes a trial of at most `size` operations. */
export type TrialFactory = (size: number) => Trial;

/** Samples that a run has at least. */
const LEAST_SAMPLES = 8;
const NS_PER_MS = 1e6;

/**
 * Runs a trial by tinybench for about so many milliseconds; nanoseconds of one operation. The clock is read once before
 * and once after a sample, what reading it takes is taken off.
 */
export function time({ size, prepare, run, restore }: Trial, milliseconds: number): Reading {
  const bench = new Bench({
    warmup: false,
    time: milliseconds,
    iterations: LEAST_SAMPLES,
    retainSamples: true,
    subtractTimerOverhead: true,
    throws: true,
  });
  // Said that it is synchronous: to find out, tinybench would call it once without the hooks.
  const hooks = { beforeEach: prepare, afterEach: restore, async: false };
  const [task] = bench.add("trial", run, hooks).runSync();
  const result = task?.result;
  if (result?.state !== "completed") throw new Error(`a benchmark ended as ${result?.state}`);
  return batch((result.latency.samples ?? []).map((sample) => (sample * NS_PER_MS) / size));
}

/**
 * A trial whose sample takes at most about so many milliseconds, of at most `most` operations. It ran for `warmMs`
 * already: by then its code is compiled for good, which tens of milliseconds do on a quiet machine.
 */
export function fit(create: TrialFactory, most: number, sampleMs: number, warmMs: number): Trial {
  const { median: first } = time(create(1), 0);
  const rough = create(clamp((sampleMs * NS_PER_MS) / first, most));
  const until = performance.now() + warmMs;
  do {
    rough.prepare();
    rough.run();
    rough.restore();
  } while (performance.now() < until);
  const { median: warm } = time(rough, 0);
  return create(clamp((sampleMs * NS_PER_MS) / warm, most));
}

function clamp(size: number, most: number): number {
  return Math.max(1, Math.min(most, Number.isFinite(size) ? Math.floor(size) : most));
}
