import type { Reason } from "./wakeups.ts";

/** More repairs than this, each for a change in the kernel, in so many milliseconds are no accident. */
const MANY = 5;
const WINDOW_MS = 10_000;

/** Notices somebody who undoes what we repair as soon as it is done: a race that nobody wins and that costs both. */
export interface Fight {
  /** Whether to leave repairs to the timer. */
  isOn(): boolean;
  /** A pass came to its end: whether it had something to repair, and why it ran. */
  note(hasRepaired: boolean, reasons: ReadonlySet<Reason>): void;
}

/** `now`: monotonic milliseconds. */
export function createFight(now: () => number): Fight {
  let repairs: number[] = [];
  let isOn = false;
  return {
    isOn: () => isOn,
    note: (hasRepaired, reasons) => {
      // The timer found all well: he has gone.
      if (reasons.has("timer") && !hasRepaired) isOn = false;
      if (!hasRepaired || reasons.size > 1 || !reasons.has("kernel")) return;
      repairs = [...repairs.filter((at) => now() - at < WINDOW_MS), now()];
      if (repairs.length > MANY) isOn = true;
    },
  };
}
