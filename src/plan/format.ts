import type { Family } from "../net/address.ts";
import { isBatchSafe } from "../net/ifname.ts";
import { type FileOperation, HOST, type IptablesVariant, type Operation, type Step } from "./step.ts";
import { wordsOf } from "./words.ts";

/** Programs of iproute2; each reads many lines by `-batch -`. */
export type BatchTool = "ip" | "bridge" | "tc";

/** What an operation is made of: words for a program of iproute2, a sysctl file, or input for a rule loader. */
export type Command =
  | { readonly tool: BatchTool; readonly words: readonly string[] }
  | { readonly tool: "sysctl"; readonly key: string; readonly value: string; readonly optional: boolean }
  | { readonly tool: "ethtool"; readonly name: string; readonly txChecksum: boolean }
  | { readonly tool: "iptables-restore"; readonly program: string; readonly lines: readonly string[] }
  | { readonly tool: "nft"; readonly lines: readonly string[] }
  | { readonly tool: "file"; readonly operation: FileOperation };

/**
 * The command of one operation. Throws RangeError for a word that `ip -batch` (or `bridge -batch`, `tc -batch`: the same
 * parser) would misread (blank, quote, `#`): such a name must have been refused at the border.
 */
export function formatOperation(operation: Operation): Command {
  const command = describeOperation(operation);
  if (!("words" in command)) return command;
  const { tool, words } = command;
  for (const word of words) {
    if (!isBatchSafe(word)) {
      const article = tool === "ip" ? "an" : "a";
      throw new RangeError(`word ${JSON.stringify(word)} can't stand in ${article} ${tool} batch`);
    }
  }
  return command;
}

/** As {@link formatOperation}, for a reader: whatever the words are. */
function describeOperation(operation: Operation): Command {
  if (operation.op === "sysctl.set") {
    return { tool: "sysctl", key: operation.key, value: operation.value, optional: operation.optional };
  }
  if (operation.op === "rules.restore") {
    const program = restoreTool(operation.family, operation.variant);
    return { tool: "iptables-restore", program, lines: operation.lines };
  }
  if (operation.op === "link.offload") {
    return { tool: "ethtool", name: operation.name, txChecksum: operation.txChecksum };
  }
  if (operation.op === "rules.nft") return { tool: "nft", lines: operation.lines };
  if (isFileOperation(operation)) return { tool: "file", operation };
  return { tool: batchToolOf(operation), words: wordsOf(operation) };
}

function batchToolOf({ op }: Operation): BatchTool {
  if (/^(qdisc|filter)\./.test(op)) return "tc";
  return /^(vlan|fdb)\./.test(op) ? "bridge" : "ip";
}

function isFileOperation(operation: Operation): operation is FileOperation {
  return /^(file|folder)\./.test(operation.op);
}

/**
 * What does the same by hand (GNU coreutils, but for the launcher, which is nowhere but in our binary); `install` too
 * leaves a running program's old file alone.
 */
function fileWords(operation: FileOperation): string[] {
  switch (operation.op) {
    case "file.install":
      return ["install", "-m", operation.mode.toString(8).padStart(4, "0"), operation.from, operation.to];
    case "file.launcher":
      return ["minicni", "launcher", "--out", operation.to];
    case "file.link":
      return ["ln", ...(operation.kind === "symbolic" ? ["-s"] : []), operation.target, operation.path];
    case "file.rename":
      return ["mv", "-n", operation.from, operation.to];
    case "file.remove":
      return ["rm", "-f", operation.path];
    case "folder.remove":
      return ["rmdir", operation.path];
  }
}

/** The program of a family that belongs to `iptables` (`iptables-save`, `ip6tables-legacy-restore`, …). */
export function iptablesProgram(
  family: Family,
  variant?: IptablesVariant,
  verb?: "save" | "restore",
): string {
  return [family === 4 ? "iptables" : "ip6tables", variant, verb].filter(Boolean).join("-");
}

function restoreTool(family: Family, variant: IptablesVariant | undefined): string {
  return iptablesProgram(family, variant, "restore");
}

/** Quotes a word for a POSIX shell only when it needs it, so that a printed command can be pasted. */
export function quoteWord(word: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A step as the command line a person could paste. */
export function formatStep(step: Step): string {
  const enter = step.netns === HOST ? "" : `nsenter --net=${quoteWord(step.netns)} `;
  const command = describeOperation(step);
  switch (command.tool) {
    case "ip":
    case "bridge":
    case "tc": {
      // Routes and addresses of IPv6 need no -6: the family follows from the address.
      return `${enter}${command.tool} ${command.words.map(quoteWord).join(" ")}`;
    }
    case "sysctl":
      return `${enter}sysctl -w ${quoteWord(`${command.key.replaceAll(".", "\0").replaceAll("/", ".").replaceAll("\0", "/")}=${command.value}`)}`;
    case "iptables-restore":
      return `${enter}${command.program} --noflush -w 10 ${heredoc(command.lines)}`;
    case "ethtool": {
      const state = command.txChecksum ? "on" : "off";
      return `${enter}ethtool -K ${quoteWord(command.name)} tx-checksum-ip-generic ${state}`;
    }
    case "nft":
      return `${enter}nft -f - ${heredoc(command.lines)}`;
    case "file":
      return fileWords(command.operation).map(quoteWord).join(" ");
  }
}

function heredoc(lines: readonly string[]): string {
  return `<<'EOF'\n${lines.join("\n")}\nEOF`;
}

/** A plan as text: each step's reason as a comment, then its command. Empty plans say so. */
export function formatPlan(plan: readonly Step[]): string {
  if (plan.length === 0) return "# nothing to change\n";
  const lines: string[] = [];
  let why = "";
  for (const step of plan) {
    if (step.why !== why) lines.push(`# ${step.why}`);
    why = step.why;
    lines.push(formatStep(step));
  }
  return `${lines.join("\n")}\n`;
}
