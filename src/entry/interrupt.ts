import type { Deadline } from "../host/deadline.ts";
import type { Host } from "../host/machine.ts";

/** Signals by which a person ends a command, with the exit code that tells of each: 128 + its number, as a shell has it. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
type EndSignal = keyof typeof EXIT_CODES;

/** Who listens to those signals. */
export interface Interruption {
  /** The last one that came; null: none. */
  readonly signal: () => EndSignal | null;
  /** Its exit code; 0: none came. */
  readonly exitCode: () => number;
  /** From now on they end the process again. */
  readonly release: () => void;
}

/**
 * From now on these signals end no more than what runs under the deadline, so that a command can remove what it made.
 * `onFirst` is called for the first one.
 */
export function catchSignals(
  deadline: Deadline,
  onFirst: (signal: EndSignal) => void = () => undefined,
): Interruption {
  let last: EndSignal | null = null;
  const listen = (signal: EndSignal) => () => {
    if (last === null) onFirst(signal);
    last = signal;
    deadline.interrupt(`${signal} came`);
  };
  const listeners = { SIGINT: listen("SIGINT"), SIGTERM: listen("SIGTERM") };
  process.on("SIGINT", listeners.SIGINT).on("SIGTERM", listeners.SIGTERM);
  return {
    signal: () => last,
    exitCode: () => (last === null ? 0 : EXIT_CODES[last]),
    release: () => {
      process.off("SIGINT", listeners.SIGINT).off("SIGTERM", listeners.SIGTERM);
    },
  };
}

/**
 * Runs what takes back what it made, whatever happens: a signal ends it early, which is told, and its exit code stands for
 * that of `work`.
 */
export async function untilInterrupted(
  host: Pick<Host, "deadline" | "log">,
  work: () => Promise<number>,
): Promise<number> {
  const interruption = catchSignals(host.deadline);
  try {
    return await work();
  } catch (error) {
    if (interruption.signal() === null) throw error;
    host.log(`${interruption.signal()} came: ended, and taken back`);
    return interruption.exitCode();
  } finally {
    interruption.release();
  }
}
