import { Command, CommanderError } from "commander";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { labDown } from "./down.ts";
import { labNamespaces } from "./state.ts";
import { createPaint, formatReport, toJson } from "./table.ts";
import { labTest } from "./test.ts";
import { labUp } from "./up.ts";

interface UpOptions {
  readonly nodes: string;
  readonly pods: string;
  readonly backend: string;
}

/**
 * `minicni lab …`. Returns the exit code: 0 all passed, 1 something failed, 2 misused.
 * `print` writes to stdout; `self` is the command line that runs this program again.
 */
export async function runLab(
  args: readonly string[],
  host: Host,
  self: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  const say = (line: string) => print(`${line}\n`);
  let exitCode = 0;
  const program = new Command("minicni lab")
    .description("a cluster of virtual nodes on this machine, each a network namespace")
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: (text) => host.log(text.trim()) });
  const sized = (command: Command) =>
    command
      .option("--nodes <number>", "virtual nodes", "3")
      .option("--pods <number>", "pods on each node", "3")
      .option("--backend <name>", "how nodes reach the pods of others", "host-gw");
  sized(program.command("up").description("make the lab")).action(async (options: UpOptions) => {
    await up(options, self, host, say);
    say("test it: minicni lab test; remove it: minicni lab down");
  });
  program
    .command("test")
    .description("probe every pair, both families")
    .option("--json", "for machines")
    .action(async (options: { json?: boolean }) => {
      exitCode = await test(options.json ?? false, host, print);
    });
  program
    .command("down")
    .description("remove the lab")
    .action(() => labDown(self, host, say));
  sized(program.command("demo").description("up, test, down"))
    .option("--json", "for machines")
    .action(async (options: UpOptions & { json?: boolean }) => {
      exitCode = await demo(options, options.json ?? false, host, self, print);
    });
  try {
    await program.parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    host.log(error instanceof HostError ? `${error.message}\nwhat to do: ${error.hint}` : String(error));
    return 1;
  }
}

async function up(
  options: UpOptions,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): Promise<void> {
  if (options.backend !== "host-gw") {
    throw new HostError(`--backend ${options.backend} is not there, wanted host-gw`, "use --backend host-gw");
  }
  if (process.getuid?.() !== 0) throw new HostError("the lab makes network namespaces", "run it as root");
  await labUp({ nodes: Number(options.nodes), pods: Number(options.pods) }, self, host, say);
}

async function test(isJson: boolean, host: Host, print: (text: string) => void): Promise<number> {
  const report = await labTest(host);
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
  options: UpOptions,
  isJson: boolean,
  host: Host,
  self: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  // With --json stdout is the document alone.
  const say = (line: string) => (isJson ? host.log(line) : print(`${line}\n`));
  // What runs now is cut short; the removal in `finally` then happens once, whichever signal came.
  let interruptedBy = 0;
  const stop = (exitCode: number, signal: string) => () => {
    interruptedBy = exitCode;
    host.deadline.interrupt(signal);
  };
  const interrupted = stop(130, "SIGINT");
  const terminated = stop(143, "SIGTERM");
  refuseForeignLab(host);
  process.on("SIGINT", interrupted);
  process.on("SIGTERM", terminated);
  try {
    await up(options, self, host, say);
    const exitCode = await test(isJson, host, print);
    return interruptedBy === 0 ? exitCode : interruptedBy;
  } catch (error) {
    if (interruptedBy !== 0) return interruptedBy;
    throw error;
  } finally {
    // The handlers stay until all is gone: without them a signal would kill us halfway, and leave the lab.
    host.deadline.renew(DOWN_TIME_MS);
    await labDown(self, host, say);
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", terminated);
  }
}

/** A demo must not remove a lab that somebody else made. */
function refuseForeignLab(host: Host): void {
  if (labNamespaces(host).length > 0) {
    throw new HostError("there is a lab already", "remove it first: minicni lab down");
  }
}
