import type { Step } from "../plan/step.ts";

/**
 * How many steps may have changed something when the one at `index` was refused: it may be half done, unless it is atomic.
 * What was there before such a refusal is not ours to take back: it may be a live pod's link.
 */
export function countTried(steps: readonly Step[], index: number): number {
  return steps[index]?.isAtomic === true ? index : index + 1;
}
