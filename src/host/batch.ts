import { type BatchTool, type Command, formatOperation } from "../plan/format.ts";
import { HOST, type Plan, type Step } from "../plan/step.ts";
import type { Deadline } from "./deadline.ts";
import { HostError, OverdueError } from "./errors.ts";
import { changeFile } from "./file-steps.ts";
import type { Finished } from "./machine.ts";
import { isMessageOperation } from "./netlink/encode.ts";
import type { LinkRemover } from "./netlink/remover.ts";
import { runMessages } from "./netlink/run.ts";
import { inNetns, type OpenNetns } from "./netns.ts";
import { setTxChecksum } from "./offload.ts";
import { spawn } from "./spawn.ts";
import { writeSysctls } from "./sysctl.ts";
import { countTried } from "./tried.ts";

/** What carries out what `ip`, `bridge` and `tc` can do: those programs, or messages to the kernel. */
export type Engine = "iproute2" | "netlink";

/** What steps are run with. */
export interface Means {
  readonly deadline: Deadline;
  readonly engine: Engine;
  readonly open: OpenNetns;
  /** Removes links of our own namespace without holding this thread; absent: by a message as any other. */
  readonly remover?: LinkRemover | undefined;
}

/**
 * Neighbouring steps of one tool and one namespace, with their commands; never empty. Without commands they are messages
 * to the kernel.
 */
export interface Batch {
  readonly steps: readonly Step[];
  readonly commands: readonly Command[] | null;
}

/** What went wrong in a batch. */
export interface BatchFailure {
  /** The step that failed; null: not known which, since the tool was killed or could not even be started. */
  readonly index: number | null;
  /** The tool ended by itself at one of the steps behind the last one that it named; only with `index` null. */
  readonly isCut?: true;
  /** How many steps may have changed something. */
  readonly tried: number;
  readonly message: string;
  readonly hint: string;
}

/** `first`: what follows the first failure is not run. `each`: every step is run. */
export type Until = "first" | "each";

/**
 * One `ip -batch -` for neighbouring steps of one namespace (one spawn each), or one socket there for messages, one visit
 * there for sysctls. `onFault` gets each step whose words could not stand in a batch; without it such a step throws
 * RangeError.
 */
export function toBatches(
  plan: Plan,
  engine: Engine,
  onFault?: (step: Step, fault: RangeError) => void,
): Batch[] {
  const batches: { steps: Step[]; commands: Command[] | null }[] = [];
  for (const step of plan) {
    const last = batches.at(-1);
    const isNear = last !== undefined && last.steps[0]?.netns === step.netns;
    if (engine === "netlink" && isMessageOperation(step)) {
      if (isNear && last.commands === null) last.steps.push(step);
      else batches.push({ steps: [step], commands: null });
      continue;
    }
    const command = commandOf(step, onFault);
    if (command === null) continue;
    if (isNear && isBatchTool(command.tool) && last.commands?.[0]?.tool === command.tool) {
      last.steps.push(step);
      last.commands.push(command);
    } else {
      batches.push({ steps: [step], commands: [command] });
    }
  }
  return batches;
}

function commandOf(step: Step, onFault?: (step: Step, fault: RangeError) => void): Command | null {
  if (onFault === undefined) return formatOperation(step);
  try {
    return formatOperation(step);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    onFault(step, error);
    return null;
  }
}

function isBatchTool(tool: Command["tool"]): boolean {
  return tool === "ip" || tool === "bridge" || tool === "tc" || tool === "sysctl";
}

/**
 * Empty when all went well; at most one failure with `first`. OverdueError passes through; every other refusal of the
 * machine is a failure.
 */
export async function runBatch(batch: Batch, until: Until, means: Means): Promise<BatchFailure[]> {
  const netns = batch.steps[0]?.netns ?? HOST;
  const { deadline, open } = means;
  const { steps, commands } = batch;
  try {
    if (commands === null) {
      deadline.check(steps[0]?.why ?? "a message to the kernel");
      if (means.remover !== undefined && netns === HOST && steps.every(isRemoval)) {
        return await removeLinks(steps.filter(isRemoval), until, means.remover);
      }
      return inNetns(netns, () => runMessages(steps, until, open), open);
    }
    const [first] = commands;
    if (first === undefined) return [];
    switch (first.tool) {
      case "ip":
      case "bridge":
      case "tc":
        return await runLines(first.tool, netns, { steps, commands }, until, means);
      case "sysctl":
        // One visit to the namespace for all of them.
        return inNetns(
          netns,
          () => writeSysctls(commands, until).map((failure) => ({ ...failure, tried: failure.index + 1 })),
          open,
        );
      case "ethtool":
        inNetns(netns, () => setTxChecksum(first.name, first.txChecksum), open);
        return [];
      case "file":
        changeFile(first.operation);
        return [];
      case "nft":
        return await runRules(["nft", "-f", "-"], first.lines, netns, means);
      case "iptables-restore":
        return await runRules([first.program, "--noflush", "-w", "10"], first.lines, netns, means);
    }
  } catch (error) {
    if (error instanceof HostError && !(error instanceof OverdueError)) {
      return [{ index: null, tried: countTried(steps, 0), message: error.message, hint: error.hint }];
    }
    throw error;
  }
}

type Removal = Extract<Step, { op: "link.del" }>;

function isRemoval(step: Step): step is Removal {
  return step.op === "link.del";
}

/** All at once: those that go together wait together. With `first`, one by one. */
async function removeLinks(
  steps: readonly Removal[],
  until: Until,
  remover: LinkRemover,
): Promise<BatchFailure[]> {
  const remove = async ({ name }: Removal, index: number): Promise<BatchFailure[]> => {
    try {
      await remover.remove(name);
      return [];
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      const { message, hint } = error;
      return [{ index, tried: countTried(steps, index), message, hint }];
    }
  };
  if (until === "each") return (await Promise.all(steps.map(remove))).flat();
  for (const [index, step] of steps.entries()) {
    const failures = await remove(step, index);
    if (failures.length > 0) return failures;
  }
  return [];
}

const RULES_HINT =
  "see whether another program holds the xtables lock, and whether the line is understood by hand";

async function runRules(
  argv: readonly string[],
  lines: readonly string[],
  netns: string,
  { deadline, open }: Means,
): Promise<BatchFailure[]> {
  const child = await spawn({ argv, stdin: `${lines.join("\n")}\n`, netns }, deadline, open);
  if (child.exitCode === 0) return [];
  return [{ index: 0, tried: 1, message: told(child.stderr, child.timedOut), hint: RULES_HINT }];
}

/** Words were checked by `formatOperation`, so that joining them with blanks can't be misread. */
async function runLines(
  tool: BatchTool,
  netns: string,
  { steps, commands }: { readonly steps: readonly Step[]; readonly commands: readonly Command[] },
  until: Until,
  { deadline, open }: Means,
): Promise<BatchFailure[]> {
  const lines = commands.map((command) => ("words" in command ? command.words.join(" ") : ""));
  const argv = [tool, ...(until === "each" ? ["-force"] : []), "-batch", "-"];
  const child = await spawn({ argv, stdin: `${lines.join("\n")}\n`, netns }, deadline, open);
  return child.exitCode === 0 ? [] : parseBatchOutput(steps, child);
}

/** What the tool says behind a line that it did not do. */
const FAILED_LINE = /Command failed -:(\d+)\n?/g;
/** What tc says behind the reason, each on a line: no reason of its own. */
const ECHO =
  /^(We have an error talking to|bad action parsing|parse_action: bad value|Illegal "action").*\n?/gm;

/**
 * The failures of a batch from its tool's stderr: "…\nCommand failed -:2" names a bad line by its number; those before
 * it have been applied (not atomic). What no line number follows, is said of a step that is not known: the tool was
 * killed, or ended at a word that it does not know.
 */
export function parseBatchOutput(
  steps: readonly Step[],
  { stderr, timedOut }: Pick<Finished, "stderr" | "timedOut">,
): BatchFailure[] {
  const hint = "run the command by hand to see more";
  const failures: BatchFailure[] = [];
  let from = 0;
  for (const match of stderr.matchAll(FAILED_LINE)) {
    const index = Number(match[1]) - 1;
    const message = told(stderr.slice(from, match.index).replace(ECHO, ""), false);
    failures.push({ index, tried: countTried(steps, index), message, hint });
    from = match.index + match[0].length;
  }
  const rest = stderr.slice(from);
  // How far it came is unknown, so that all of it counts as tried.
  const unknown = { index: null, tried: steps.length, message: told(rest, timedOut), hint };
  const isWarning = rest
    .trim()
    .split("\n")
    .every((line) => line === "" || line.startsWith("Warning"));
  const isAtEnd = failures.at(-1)?.index === steps.length - 1;
  if (timedOut) failures.push(unknown);
  else if (failures.length === 0 || !(isWarning || isAtEnd)) failures.push({ ...unknown, isCut: true });
  return failures;
}

function told(stderr: string, timedOut: boolean): string {
  const text = stderr.trim().replace(/\s*\n\s*/g, "; ");
  return timedOut ? `no answer in time, killed; ${text}` : text === "" ? "no message" : text;
}
