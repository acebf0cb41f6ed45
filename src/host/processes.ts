import { readdirSync, readFileSync } from "node:fs";

/** A process as /proc shows it. */
export interface ObservedProcess {
  readonly pid: number;
  /** Its name, at most 15 bytes (TASK_COMM_LEN). */
  readonly name: string;
}

/** All processes that this one can see: in a container without the host's PID namespace its own alone. */
export function observeProcesses(): ObservedProcess[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^[0-9]+$/.test(entry)) return [];
    try {
      return [{ pid: Number(entry), name: readFileSync(`/proc/${entry}/comm`, "utf8").trim() }];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

/** The words that a process was started by; empty when they can't be read. */
export function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);
  } catch {
    return [];
  }
}
