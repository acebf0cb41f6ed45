import { formatStep } from "../plan/format.ts";
import type { Plan, Step } from "../plan/step.ts";
import { type Means, runBatch, toBatches } from "./batch.ts";
import { createDeadline, UNDO_TIME_MS } from "./deadline.ts";
import { ExecuteError, HostError, OverdueError } from "./errors.ts";

/**
 * Runs a plan. By iproute2, neighbouring steps of one tool and one namespace become one `ip -batch -` (one spawn each),
 * or one visit to the namespace for sysctls, rules one
 * `iptables-restore --noflush -w`; by netlink, what would be lines for those programs is messages to the kernel. At the first failure the undo of every finished step, and of the failed
 * one (it may be half done), runs in reverse order; then ExecuteError names the step. OverdueError when the deadline
 * ended it, with the same undoing before.
 */
export async function executePlan(plan: Plan, means: Means): Promise<void> {
  const done: Step[] = [];
  for (const batch of toBatches(plan, means.engine)) {
    const [failure] = await runBatch(batch, "first", means).catch(async (error) => {
      // Cut off in the middle of a batch: any of its steps may have been done.
      await takeBack([...done, ...batch.steps], means);
      throw error instanceof OverdueError && batch.steps[0] !== undefined
        ? overdueAt(batch.steps[0], error)
        : error;
    });
    done.push(...batch.steps.slice(0, failure?.tried));
    if (failure === undefined) continue;
    await takeBack(done, means);
    const step = batch.steps[failure.index ?? 0] ?? batch.steps[0];
    if (step === undefined) throw new HostError(failure.message, "report this as a fault of minicni");
    throw new ExecuteError(step, formatStep(step), failure.message, failure.hint);
  }
}

function overdueAt(step: Step, { message }: OverdueError): OverdueError {
  return new OverdueError(`${step.why} (\`${formatStep(step)}\` and what follows it)`, message);
}

/** Undo is best effort: whatever is already gone is as good as removed. */
async function takeBack(done: readonly Step[], { engine, open }: Means): Promise<void> {
  // Time of its own: the call's stays over, so that what comes behind does not go on as if nothing were.
  const means = { deadline: createDeadline(UNDO_TIME_MS), engine, open };
  for (const step of [...done].reverse()) {
    if (step.undo === undefined) continue;
    const undo: Step = { ...step.undo, netns: step.netns, why: `undo: ${step.why}` };
    try {
      for (const batch of toBatches([undo], engine)) await runBatch(batch, "first", means);
    } catch {
      // The failure that led here is the one worth telling.
    }
  }
}
