import type { Command } from "commander";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { catchSignals } from "../interrupt.ts";
import { createCommand, runGroup } from "../output/command.ts";
import { createPaint } from "../output/paint.ts";
import { labDown } from "./down.ts";
import { withLabLock } from "./exclusive.ts";
import { toJson } from "./json.ts";
import { addWishOptions, toWish, type WishOptions } from "./options.ts";
import { addPlayCommands } from "./play.ts";
import { labNamespaces } from "./state.ts";
import { formatReport } from "./table.ts";
import { labTest } from "./test.ts";
import { type LabWish, labUp } from "./up.ts";

/** What `minicni lab …` works with: `self` is the command line that runs this program again. */
export interface LabProgram {
  readonly host: Host;
  readonly self: readonly string[];
  readonly print: (text: string) => void;
}

/** The command line of `minicni lab`; `end` is told the exit code where it is not 0. */
export function createLabCommand(
  { host, self, print }: LabProgram,
  end: (exitCode: number) => void,
): Command {
  const say = (line: string) => print(`${line}\n`);
  const program = createCommand(
    "lab",
    "a cluster of virtual nodes on this machine, each a network namespace with an agent",
    [
      ["minicni lab demo", "a cluster of three nodes: up, test, down"],
      ["minicni lab up --nodes 5 --backend vxlan", "one that stays, to play with"],
      ["minicni lab node rm node2", "a Node goes; see the others' routes: ip -n mclab-node1 route"],
      ["minicni lab down", "remove it"],
    ],
  ).hook("preAction", requireRoot);
  addWishOptions(program.command("up").description("make the lab")).action(async (options: WishOptions) => {
    await withLabLock("up", host, () => labUp(toWish(options), self, host, say));
    say("test it: minicni lab test; remove it: minicni lab down");
  });
  program
    .command("test")
    .description("probe every pair, both families")
    .option("--json", "for machines")
    .action(async (options: { json?: boolean }) => {
      end(await test(options.json ?? false, self, host, print));
    });
  program
    .command("down")
    .description("remove the lab")
    .action(() => withLabLock("down", host, () => labDown(self, host, say)));
  addWishOptions(program.command("demo").description("up, test, down"))
    .option("--json", "for machines")
    .action(async (options: WishOptions & { json?: boolean }) => {
      const isJson = options.json ?? false;
      end(await withLabLock("demo", host, () => demo(toWish(options), isJson, host, self, print)));
    });
  addPlayCommands(program, self, host, say);
  return program;
}

/**
 * `minicni lab …`. Returns the exit code: 0 all passed, 1 something failed, 2 misused.
 * `print` writes to stdout; `self` is the command line that runs this program again.
 */
export function runLab(
  args: readonly string[],
  host: Host,
  self: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  return runGroup((end) => createLabCommand({ host, self, print }, end), args, host, print);
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new HostError("the lab makes network namespaces", "run it as root");
}

async function test(
  isJson: boolean,
  self: readonly string[],
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  const report = await labTest(self, host);
  const isColoured = process.stdout.isTTY === true && !process.env.NO_COLOR;
  print(
    isJson ? `${JSON.stringify(toJson(report), null, 2)}\n` : formatReport(report, createPaint(isColoured)),
  );
  return report.ok ? 0 : 1;
}

/** Time for removing an interrupted lab, in milliseconds. */
const DOWN_TIME_MS = 120_000;

/** The lab is removed whatever happens, also on Ctrl-C and SIGTERM. */
async function demo(
  wish: LabWish,
  isJson: boolean,
  host: Host,
  self: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  // With --json stdout is the document alone.
  const say = (line: string) => (isJson ? host.log(line) : print(`${line}\n`));
  // What runs now is cut short; the removal in `finally` then happens once, whichever signal came.
  refuseForeignLab(host);
  const interruption = catchSignals(host.deadline);
  try {
    await labUp(wish, self, host, say);
    const exitCode = await test(isJson, self, host, print);
    return interruption.exitCode() || exitCode;
  } catch (error) {
    if (interruption.signal() !== null) return interruption.exitCode();
    throw error;
  } finally {
    // The handlers stay until all is gone: without them a signal would kill us halfway, and leave the lab.
    host.deadline.renew(DOWN_TIME_MS);
    await labDown(self, host, say);
    interruption.release();
  }
}

/** A demo must not remove a lab that somebody else made. */
function refuseForeignLab(host: Host): void {
  if (labNamespaces(host).length > 0) {
    throw new HostError("there is a lab already", "remove it first: minicni lab down");
  }
}
