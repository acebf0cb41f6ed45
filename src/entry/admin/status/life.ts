import { BusyError, messageOf } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import type { AgentReport } from "../../agent/report.ts";
import { agentLock } from "../../node.ts";
import type { AgentLife } from "./seen.ts";

/** An agent writes at least every 15 s; three of these in a row do not come late. */
const SILENCE_MS = 45_000;

/** Whether a process holds the agent's lock; null: can't be seen, `why`. Nothing is left behind. */
export async function observeLock(
  stateDir: string,
  host: Pick<Host, "isFile" | "withLock">,
): Promise<{ readonly isLocked: boolean | null; readonly why: string | null }> {
  const path = agentLock(stateDir);
  try {
    // Asking for a lock makes its file.
    if (!host.isFile(path)) return { isLocked: false, why: null };
    await host.withLock(path, 0, () => undefined);
    return { isLocked: false, why: null };
  } catch (error) {
    if (error instanceof BusyError) return { isLocked: true, why: null };
    return { isLocked: null, why: messageOf(error) };
  }
}

/** What became of the agent that wrote a report. */
export function judgeLife(
  report: Pick<AgentReport, "bootId" | "stoppedAt" | "writtenAt"> | null,
  { isLocked, bootId, nowMs, isReadable }: JudgedBy,
): AgentLife {
  if (report === null) return isReadable ? "absent" : "unknown";
  // What an agent of another boot said is no word about this one.
  if (bootId !== null && report.bootId !== bootId) return "absent";
  if (report.stoppedAt !== null) return "stopped";
  if (isLocked === false) return "dead";
  return nowMs - Date.parse(report.writtenAt) > SILENCE_MS ? "silent" : "running";
}

/** What else decides. */
export interface JudgedBy {
  /** Null: can't be seen. */
  readonly isLocked: boolean | null;
  /** Of now; null: can't be seen, as on another node. */
  readonly bootId: string | null;
  /** Unix time in milliseconds. */
  readonly nowMs: number;
  /** Where there is no report: whether none was written, other than one that can't be read. */
  readonly isReadable: boolean;
}
