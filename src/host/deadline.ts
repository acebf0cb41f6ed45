import { OverdueError } from "./errors.ts";

/** Time for taking back what was begun, in milliseconds: a handful of spawns. */
export const UNDO_TIME_MS = 10_000;

/** The time one call may take, and the way to end it early. All times in milliseconds. */
export interface Deadline {
  /** What is left, never negative; Infinity without a limit. */
  left(): number;
  /** Throws OverdueError, with `step` as what was slow, when the time is over or the call was interrupted. */
  check(step: string): void;
  /** Ends the call at its next step, and what runs now at once; `reason` is told. Not once {@link renew} was called. */
  interrupt(reason: string): void;
  /** Calls back once the call is interrupted; returns how to stop listening. */
  onInterrupt(listener: () => void): () => void;
  /** From now on the call may take this long since it began. */
  restart(milliseconds: number): void;
  /** This much time from now on, interrupted or not, and no more interruption: what was begun is taken back. */
  renew(milliseconds: number): void;
}

/** A deadline that starts now. `Infinity` never ends by itself. */
export function createDeadline(milliseconds: number): Deadline {
  const start = performance.now();
  let limit = milliseconds;
  let end = start + limit;
  let reason: string | null = null;
  let isClosing = false;
  const listeners = new Set<() => void>();
  const left = () => Math.max(0, end - performance.now());
  return {
    left,
    check: (step) => {
      if (reason !== null) throw new OverdueError(step, reason);
      if (left() === 0) throw new OverdueError(step, `the time of this call (${limit / 1000} s) is over`);
    },
    interrupt: (why) => {
      if (isClosing) return;
      reason = why;
      for (const listener of [...listeners]) listener();
    },
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    restart: (other) => {
      limit = other;
      end = start + limit;
    },
    renew: (more) => {
      isClosing = true;
      reason = null;
      end = performance.now() + more;
    },
  };
}
