import { writeFileSync } from "node:fs";
import { type Command, formatOperation, formatStep, restoreTool } from "../plan/format.ts";
import { HOST, type Plan, type Step } from "../plan/step.ts";
import { ExecuteError, HostError } from "./errors.ts";
import { inNetns } from "./netns.ts";
import { spawn } from "./spawn.ts";

interface Batch {
  readonly steps: readonly Step[];
  readonly commands: readonly Command[];
}

/**
 * The iproute2 executor. Neighbouring `ip` steps of one namespace become one `ip -batch -` (one spawn each), rules
 * one `iptables-restore --noflush -w`. At the first failure the undo of every finished step, and of the failed one
 * (it may be half done), runs in reverse order; then ExecuteError names the step.
 */
export function executePlan(plan: Plan): void {
  const done: Step[] = [];
  for (const batch of toBatches(plan)) {
    const failure = runBatch(batch);
    done.push(
      ...batch.steps.slice(0, failure === null ? undefined : failure.index + (madeNothing(failure) ? 0 : 1)),
    );
    if (failure === null) continue;
    takeBack(done);
    const step = batch.steps[failure.index] ?? batch.steps[0];
    if (step === undefined) throw new HostError(failure.message, "report this as a fault of minicni");
    throw new ExecuteError(step, formatStep(step), failure.message, failure.hint);
  }
}

/** What was there before a refused step is not ours to take back: it may be a live pod's link. */
function madeNothing({ message }: Failure): boolean {
  return message.includes("File exists");
}

/** Undo is best effort: whatever is already gone is as good as removed. */
function takeBack(done: readonly Step[]): void {
  for (const step of [...done].reverse()) {
    if (step.undo === undefined) continue;
    const undo: Step = { ...step.undo, netns: step.netns, why: `undo: ${step.why}` };
    try {
      runBatch({ steps: [undo], commands: [formatOperation(undo)] });
    } catch {
      // The failure that led here is the one worth telling.
    }
  }
}

function toBatches(plan: Plan): Batch[] {
  const batches: { steps: Step[]; commands: Command[] }[] = [];
  for (const step of plan) {
    const command = formatOperation(step);
    const last = batches.at(-1);
    const joins =
      last !== undefined &&
      command.tool === "ip" &&
      last.commands[0]?.tool === "ip" &&
      last.steps[0]?.netns === step.netns;
    if (joins) {
      last.steps.push(step);
      last.commands.push(command);
    } else {
      batches.push({ steps: [step], commands: [command] });
    }
  }
  return batches;
}

interface Failure {
  readonly index: number;
  readonly message: string;
  readonly hint: string;
}

function runBatch(batch: Batch): Failure | null {
  const netns = batch.steps[0]?.netns ?? HOST;
  const [first] = batch.commands;
  if (first === undefined) return null;
  try {
    if (first.tool === "ip") return runIp(netns, batch.commands);
    if (first.tool === "sysctl") return writeSysctl(netns, first.key, first.value, first.optional);
    const argv = [restoreTool(first.family), "--noflush", "-w", "10"];
    const child = spawn({ argv, stdin: `${first.lines.join("\n")}\n`, netns });
    return child.exitCode === 0
      ? null
      : { index: 0, message: told(child.stderr, child.timedOut), hint: RULES_HINT };
  } catch (error) {
    if (error instanceof HostError) return { index: 0, message: error.message, hint: error.hint };
    throw error;
  }
}

const RULES_HINT =
  "see whether another program holds the xtables lock, and whether the line is understood by hand";

/** Words were checked by `formatOperation`, so that joining them with blanks can't be misread. */
function runIp(netns: string, commands: readonly Command[]): Failure | null {
  const lines = commands.map((command) => (command.tool === "ip" ? command.words.join(" ") : ""));
  const child = spawn({ argv: ["ip", "-batch", "-"], stdin: `${lines.join("\n")}\n`, netns });
  if (child.exitCode === 0) return null;
  // "Command failed -:2": the number of the bad line; those before it have been applied (not atomic).
  const bad = /Command failed -:(\d+)/.exec(child.stderr);
  const index = bad?.[1] === undefined ? 0 : Number(bad[1]) - 1;
  const message = told(child.stderr.replace(/Command failed -:\d+\n?/, ""), child.timedOut);
  return { index, message, hint: "run the command by hand to see more" };
}

function told(stderr: string, timedOut: boolean): string {
  const text = stderr.trim().replace(/\s*\n\s*/g, "; ");
  return timedOut ? `no answer in time, killed; ${text}` : text === "" ? "no message" : text;
}

function writeSysctl(netns: string, key: string, value: string, optional: boolean): Failure | null {
  try {
    inNetns(netns, () => writeFileSync(`/proc/sys/${key}`, value));
    return null;
  } catch (error) {
    if (error instanceof HostError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    // No /proc/sys/net/ipv6: the kernel runs without IPv6 (plugins#102).
    if (optional && code === "ENOENT") return null;
    return {
      index: 0,
      message: String(error),
      hint: `write ${value} to /proc/sys/${key} by hand to see why`,
    };
  }
}
