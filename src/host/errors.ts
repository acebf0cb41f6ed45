import type { Step } from "../plan/step.ts";

/** The machine refused something; `hint` says what to do about it. */
export class HostError extends Error {
  override readonly name: string = "HostError";
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Somebody else holds what we need for longer than we may wait: trying again later can succeed. */
export class BusyError extends HostError {
  override readonly name = "BusyError";
}

/** The call's own time is over, or somebody ended it; `step` is what it was busy with. */
export class OverdueError extends HostError {
  override readonly name = "OverdueError";
  constructor(
    readonly step: string,
    reason: string,
  ) {
    super(`gave up at ${step}: ${reason}`, "try again; see why this step is slow on this node");
  }
}

/** One step of a plan failed; what came before it has been taken back. */
export class ExecuteError extends HostError {
  override readonly name = "ExecuteError";
  constructor(
    readonly step: Step,
    /** The failed command as it could be pasted. */
    readonly command: string,
    /** What the tool said, trimmed. */
    readonly stderr: string,
    hint: string,
  ) {
    super(`${step.why}: \`${command}\` failed: ${stderr}`, hint);
  }
}

/** What was thrown, in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The name of a system call's error number (`ENOENT`); empty for anything else. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
