import { formatStep } from "../plan/format.ts";
import type { Plan, Step } from "../plan/step.ts";
import { type Batch, type Means, runBatch, toBatches } from "./batch.ts";
import type { StepFailure } from "./machine.ts";

/**
 * Runs every step although others fail, in the batches of {@link executePlan}, in order; nothing is taken back.
 * Returns the failures in the plan's order, those that could not be written down first. Throws only OverdueError. A step is run once, but where the tool ends in
 * the middle of a batch without naming the line: then what is left is run again in halves.
 */
export async function executeEach(plan: Plan, means: Means): Promise<StepFailure[]> {
  const failures: StepFailure[] = [];
  const batches = toBatches(plan, means.engine, (step, { message }) => {
    failures.push({ step, command: step.op, message });
  });
  for (const batch of batches) {
    for (const { step, message } of await runWhole(batch, false, means))
      failures.push({ step, command: formatStep(step), message });
  }
  return failures;
}

interface Refusal {
  readonly step: Step;
  readonly message: string;
}

/** `isAgain`: the steps may have been run before. */
async function runWhole(batch: Batch, isAgain: boolean, means: Means): Promise<Refusal[]> {
  const found = await runBatch(batch, "each", means);
  const named = new Map(found.map(({ index, message }) => [index, message]));
  const unknown = found.find(({ index }) => index === null);
  // Killed, or not even begun (no such namespace, no such program): nothing is known to be done.
  const others = unknown === undefined || unknown.isCut ? undefined : unknown.message;
  const failures = batch.steps.flatMap((step, index): Refusal[] => {
    const message = named.get(index) ?? others;
    return message === undefined || (isAgain && isDoneBefore(step, message)) ? [] : [{ step, message }];
  });
  if (unknown?.isCut !== true) return failures;
  const first = Math.max(-1, ...found.flatMap(({ index }) => index ?? [])) + 1;
  const [step] = batch.steps.slice(first);
  if (step !== undefined && first === batch.steps.length - 1)
    return [...failures, { step, message: unknown.message }];
  const middle = (first + batch.steps.length) >> 1;
  failures.push(...(await runWhole(part(batch, first, middle), true, means)));
  failures.push(...(await runWhole(part(batch, middle, batch.steps.length), true, means)));
  return failures;
}

function part({ steps, commands }: Batch, from: number, to: number): Batch {
  return { steps: steps.slice(from, to), commands: commands?.slice(from, to) ?? null };
}

/** What a second run says of a step that the first one has done: what was to go is gone, what was to be made is there. */
function isDoneBefore({ op }: Step, message: string): boolean {
  return op.endsWith(".del")
    ? /No such|Cannot find device|Cannot assign requested address|does not exist/.test(message)
    : /File exists|Exclusivity flag on/.test(message);
}
