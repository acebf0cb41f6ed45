import { writeFileSync } from "node:fs";
import { type Command, formatOperation, formatStep } from "../plan/format.ts";
import { HOST, type Plan, type Step } from "../plan/step.ts";
import { createDeadline, type Deadline, UNDO_TIME_MS } from "./deadline.ts";
import { ExecuteError, errnoOf, HostError, OverdueError } from "./errors.ts";
import { inNetns } from "./netns.ts";
import { spawn } from "./spawn.ts";

interface Batch {
  readonly steps: readonly Step[];
  readonly commands: readonly Command[];
}

/**
 * The iproute2 executor. Neighbouring steps of one tool and one namespace become one `ip -batch -` (one spawn each),
 * or one visit to the namespace for sysctls, rules one `iptables-restore --noflush -w`. At the first failure the undo of every finished step, and of the failed
 * one (it may be half done), runs in reverse order; then ExecuteError names the step. OverdueError when the deadline
 * ended it, with the same undoing before.
 */
export async function executePlan(plan: Plan, deadline: Deadline): Promise<void> {
  const done: Step[] = [];
  for (const batch of toBatches(plan)) {
    let failure: Failure | null;
    try {
      failure = await runBatch(batch, deadline);
    } catch (error) {
      // Cut off in the middle of a batch: any of its steps may have been done.
      await takeBack([...done, ...batch.steps]);
      throw error instanceof OverdueError && batch.steps[0] !== undefined
        ? overdueAt(batch.steps[0], error)
        : error;
    }
    done.push(...batch.steps.slice(0, failure?.tried));
    if (failure === null) continue;
    await takeBack(done);
    const step = batch.steps[failure.index] ?? batch.steps[0];
    if (step === undefined) throw new HostError(failure.message, "report this as a fault of minicni");
    throw new ExecuteError(step, formatStep(step), failure.message, failure.hint);
  }
}

function overdueAt(step: Step, { message }: OverdueError): OverdueError {
  return new OverdueError(`${step.why} (\`${formatStep(step)}\` and what follows it)`, message);
}

/** Undo is best effort: whatever is already gone is as good as removed. */
async function takeBack(done: readonly Step[]): Promise<void> {
  // Time of its own: the call's stays over, so that what comes behind does not go on as if nothing were.
  const deadline = createDeadline(UNDO_TIME_MS);
  for (const step of [...done].reverse()) {
    if (step.undo === undefined) continue;
    const undo: Step = { ...step.undo, netns: step.netns, why: `undo: ${step.why}` };
    try {
      await runBatch({ steps: [undo], commands: [formatOperation(undo)] }, deadline);
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
      isBatchTool(command.tool) &&
      last.commands[0]?.tool === command.tool &&
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

function isBatchTool(tool: Command["tool"]): boolean {
  return tool === "ip" || tool === "bridge" || tool === "sysctl";
}

interface Failure {
  /** The step that failed. */
  readonly index: number;
  /** How many steps may have changed something. */
  readonly tried: number;
  readonly message: string;
  readonly hint: string;
}

/** Null when all went well. OverdueError passes through; every other refusal of the machine is a failure. */
async function runBatch(batch: Batch, deadline: Deadline): Promise<Failure | null> {
  const netns = batch.steps[0]?.netns ?? HOST;
  const [first] = batch.commands;
  if (first === undefined) return null;
  try {
    switch (first.tool) {
      case "ip":
      case "bridge":
        return await runLines(first.tool, netns, batch, deadline);
      case "sysctl":
        return inNetns(netns, () => writeSysctls(batch.commands));
      case "ethtool":
        throw new HostError("no way to set offloads yet", "");
      case "nft":
        return await runRules(["nft", "-f", "-"], first.lines, netns, deadline);
      case "iptables-restore":
        return await runRules([first.program, "--noflush", "-w", "10"], first.lines, netns, deadline);
    }
  } catch (error) {
    if (error instanceof HostError && !(error instanceof OverdueError)) {
      return { index: 0, tried: 1, message: error.message, hint: error.hint };
    }
    throw error;
  }
}

const RULES_HINT =
  "see whether another program holds the xtables lock, and whether the line is understood by hand";

async function runRules(
  argv: readonly string[],
  lines: readonly string[],
  netns: string,
  deadline: Deadline,
): Promise<Failure | null> {
  const child = await spawn({ argv, stdin: `${lines.join("\n")}\n`, netns }, deadline);
  if (child.exitCode === 0) return null;
  return { index: 0, tried: 1, message: told(child.stderr, child.timedOut), hint: RULES_HINT };
}

/** Words were checked by `formatOperation`, so that joining them with blanks can't be misread. */
async function runLines(
  tool: "ip" | "bridge",
  netns: string,
  { steps, commands }: Batch,
  deadline: Deadline,
): Promise<Failure | null> {
  const lines = commands.map((command) => ("words" in command ? command.words.join(" ") : ""));
  const stdin = `${lines.join("\n")}\n`;
  const child = await spawn({ argv: [tool, "-batch", "-"], stdin, netns }, deadline);
  if (child.exitCode === 0) return null;
  // "Command failed -:2": the number of the bad line; those before it have been applied (not atomic).
  const bad = /Command failed -:(\d+)/.exec(child.stderr);
  const message = told(child.stderr.replace(/Command failed -:\d+\n?/, ""), child.timedOut);
  const hint = "run the command by hand to see more";
  // Killed in the middle: how far it came is unknown, so that all of it counts as tried.
  if (bad?.[1] === undefined) return { index: 0, tried: commands.length, message, hint };
  const index = Number(bad[1]) - 1;
  // What was there before a refused step is not ours to take back: it may be a live pod's link.
  return { index, tried: steps[index]?.isAtomic === true ? index : index + 1, message, hint };
}

function told(stderr: string, timedOut: boolean): string {
  const text = stderr.trim().replace(/\s*\n\s*/g, "; ");
  return timedOut ? `no answer in time, killed; ${text}` : text === "" ? "no message" : text;
}

/** In the namespace that the thread is in: one visit there for all of them. */
function writeSysctls(commands: readonly Command[]): Failure | null {
  for (const [index, command] of commands.entries()) {
    if (command.tool !== "sysctl") continue;
    const { key, value, optional } = command;
    try {
      writeFileSync(`/proc/sys/${key}`, value);
    } catch (error) {
      // No /proc/sys/net/ipv6: the kernel runs without IPv6 (plugins#102).
      if (optional && errnoOf(error) === "ENOENT") continue;
      const hint = `write ${value} to /proc/sys/${key} by hand to see why`;
      return { index, tried: index + 1, message: String(error), hint };
    }
  }
  return null;
}
