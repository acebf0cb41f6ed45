import { formatOperation, formatStep } from "../plan/format.ts";
import type { Plan, Step } from "../plan/step.ts";
import { runBatch, toBatches } from "./batch.ts";
import { createDeadline, type Deadline, UNDO_TIME_MS } from "./deadline.ts";
import { ExecuteError, HostError, OverdueError } from "./errors.ts";

/**
 * The iproute2 executor. Neighbouring steps of one tool and one namespace become one `ip -batch -` (one spawn each),
 * or one visit to the namespace for sysctls, rules one `iptables-restore --noflush -w`. At the first failure the undo of every finished step, and of the failed
 * one (it may be half done), runs in reverse order; then ExecuteError names the step. OverdueError when the deadline
 * ended it, with the same undoing before.
 */
export async function executePlan(plan: Plan, deadline: Deadline): Promise<void> {
  const done: Step[] = [];
  for (const batch of toBatches(plan)) {
    const [failure] = await runBatch(batch, "first", deadline).catch(async (error) => {
      // Cut off in the middle of a batch: any of its steps may have been done.
      await takeBack([...done, ...batch.steps]);
      throw error instanceof OverdueError && batch.steps[0] !== undefined
        ? overdueAt(batch.steps[0], error)
        : error;
    });
    done.push(...batch.steps.slice(0, failure?.tried));
    if (failure === undefined) continue;
    await takeBack(done);
    const step = batch.steps[failure.index ?? 0] ?? batch.steps[0];
    if (step === undefined) throw new HostError(failure.message, "report this as a fault of minicni");
    throw new ExecuteError(step, formatStep(step), failure.message, failure.hint);
  }
}

function overdueAt(step: Step, { message }: OverdueError): OverdueError {
  return new OverdueError(`${step.why} (\`${formatStep(step)}\` and what follows it)`, message);
}

/** Undo is best effort: whatever is already gone is as good as removed. */
async function takeBack(done: readonly Step[]): Promise<void> {
  // Time of its own: the call's stays over, so that what comes behind does not go on as if nothing were.
  const deadline = createDeadline(UNDO_TIME_MS);
  for (const step of [...done].reverse()) {
    if (step.undo === undefined) continue;
    const undo: Step = { ...step.undo, netns: step.netns, why: `undo: ${step.why}` };
    try {
      await runBatch({ steps: [undo], commands: [formatOperation(undo)] }, "first", deadline);
    } catch {
      // The failure that led here is the one worth telling.
    }
  }
}
