import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";

/** Work that nobody waits for. */
export interface Quiet {
  /** Runs it once `delayMs` have passed without another of the same name, which takes its place. */
  defer(name: string, work: (host: Host) => Promise<void>): void;
  /** Runs now what is left, and waits for all of it. */
  finish(): Promise<void>;
}

/** `openHost`: the machine for one such work. Failures are told by `log`. */
export function createQuiet(delayMs: number, openHost: () => Host, log: (line: string) => void): Quiet {
  interface Deferred {
    readonly timer: ReturnType<typeof setTimeout>;
    readonly run: () => Promise<void>;
  }
  const waiting = new Map<string, Deferred>();
  const running = new Set<Promise<void>>();
  const start = (name: string, work: (host: Host) => Promise<void>): Promise<void> => {
    waiting.delete(name);
    const done = work(openHost())
      .catch((error) => log(`${name}: ${messageOf(error)}`))
      .finally(() => running.delete(done));
    running.add(done);
    return done;
  };
  return {
    defer: (name, work) => {
      const before = waiting.get(name);
      if (before !== undefined) clearTimeout(before.timer);
      const run = () => start(name, work);
      waiting.set(name, { run, timer: setTimeout(run, delayMs) });
    },
    finish: async () => {
      for (const { timer, run } of [...waiting.values()]) {
        clearTimeout(timer);
        void run();
      }
      await Promise.all(running);
    },
  };
}
