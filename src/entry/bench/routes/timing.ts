import { Bench } from "tinybench";
import { quantile } from "../statistics.ts";
import type { Reading } from "../turns.ts";

/** Calls that are not counted, at the begin of each turn: what the others did has to leave the caches. */
const WARM_CALLS = 1;
/** Calls that are counted, at least, however long they take: more turns tell more than more calls in one. */
const LEAST_CALLS = 1;

/**
 * One turn: calls `work` for `turnMs` by tinybench, which times each call. `scale`: units in a millisecond.
 * The garbage of others is collected first, so that none pays for what another one left.
 */
export async function timeCalls(work: () => unknown, turnMs: number, scale: number): Promise<Reading> {
  const bench = new Bench({
    // One call alone would be too few where it takes a microsecond.
    warmupTime: turnMs / 5,
    warmupIterations: WARM_CALLS,
    time: turnMs,
    iterations: LEAST_CALLS,
    retainSamples: true,
    throws: true,
    setup: () => Bun.gc(false),
  });
  const task = bench.add("call", work).tasks[0];
  await bench.run();
  const result = task?.result;
  if (result?.state !== "completed") throw new Error(`a benchmark ended as ${result?.state}`);
  const { p50, samples = [] } = result.latency;
  return { median: p50 * scale, p95: quantile(samples, 0.95) * scale };
}

/** How many turns of warming make a function as fast as it gets: the compiler's last tier comes late. */
const WARM_TURNS = 4;

/** Runs `work` before anything is measured, until it is compiled. */
export function warmUp(work: () => unknown, turnMs: number): void {
  const end = performance.now() + turnMs * WARM_TURNS;
  do work();
  while (performance.now() < end);
}
