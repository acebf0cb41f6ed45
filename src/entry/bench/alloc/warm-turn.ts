import type { Turn } from "../turns.ts";
import { type EngineName, loadEngine } from "./engines.ts";
import { createSlotTrials, operationsOf } from "./slot-trials.ts";
import { createTextTrials } from "./text-trials.ts";
import { fit, type TrialFactory, time } from "./trial.ts";
import { describeWorkload, type Workload } from "./workload.ts";

/** What one process is to measure: an engine in a range of a state. Times in milliseconds, of each metric. */
export interface WarmTask {
  readonly engine: EngineName;
  readonly length: number;
  readonly fullness: number;
  readonly warmMs: number;
  readonly measureMs: number;
}

/** What it found: nanoseconds of an operation, by slots and by text. */
export interface WarmTurn {
  readonly slots: Turn;
  readonly texts: Turn;
  /** Slots that next-fit gave before anything was timed; all engines have to give the same. */
  readonly given: readonly number[];
}

/** A sample takes at most this part of the time that is measured, so that there are some. */
const SAMPLE_PART = 1 / 6;
/** How many slots are compared. */
const GIVEN = 200;

/**
 * Measures one engine, warm, in the process we are in. It should be its only engine: code that has seen others, or a
 * second WASM instance, is compiled to something slower, and nothing but a benchmark ever has them.
 */
export async function takeWarmTurn(task: WarmTask): Promise<WarmTurn> {
  const workload = describeWorkload(task.length, task.fullness);
  const create = await loadEngine(task.engine);
  const pool = create(workload.capacity);
  pool.load(workload.bitmap);
  const given = giveSlots(pool, workload);
  return {
    slots: measure(createSlotTrials(pool, workload), workload, task),
    texts: measure(createTextTrials(pool, workload), workload, task),
    given,
  };
}

/** {@link takeWarmTurn} for a process of its own: a task as JSON to its result as JSON. */
export async function runWarmAlloc(task: string): Promise<string> {
  const parsed: WarmTask = JSON.parse(task);
  return JSON.stringify(await takeWarmTurn(parsed));
}

function measure(
  trials: Record<string, TrialFactory>,
  workload: Workload,
  { warmMs, measureMs }: WarmTask,
): Turn {
  const most = operationsOf(workload);
  return Object.fromEntries(
    Object.entries(trials).map(([metric, create]) => {
      const trial = fit(create, most, measureMs * SAMPLE_PART, warmMs);
      return [metric, time(trial, measureMs)];
    }),
  );
}

/** The slots that next-fit gives, which are free again afterwards. */
function giveSlots(pool: Awaited<ReturnType<Awaited<ReturnType<typeof loadEngine>>>>, { free }: Workload) {
  const given: number[] = [];
  for (let cursor = -1; given.length < Math.min(GIVEN, free.length); ) {
    cursor = pool.nextFree(cursor) ?? -1;
    pool.claim(cursor);
    given.push(cursor);
  }
  for (const slot of given) pool.release(slot);
  return given;
}
