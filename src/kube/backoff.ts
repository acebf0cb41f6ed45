/** Waiting times of someone who fails again and again. */
export interface Backoff {
  /** The next wait in ms: anything from 0 to a limit that doubles with each call ("full jitter"). */
  readonly next: () => number;
  /** It works again. */
  readonly reset: () => void;
  /** How often `next` was called since the last `reset`. */
  readonly failures: () => number;
}

/**
 * Exponential back-off with full jitter: of all agents of a cluster, which fail at the same moment, each comes back at
 * its own (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
export function openBackoff(minMs: number, maxMs: number, random: () => number): Backoff {
  let failures = 0;
  return {
    next: () => {
      const limitMs = Math.min(maxMs, minMs * 2 ** Math.min(failures, 30));
      failures++;
      return random() * limitMs;
    },
    reset: () => {
      failures = 0;
    },
    failures: () => failures,
  };
}

/** Waits, or throws the signal's reason as soon as it is aborted; leaves no timer. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
