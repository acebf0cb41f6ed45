import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { HostError } from "../../host/errors.ts";
import { PUBLIC, replaceFile } from "../../host/files.ts";
import { createHost } from "../../host/linux.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import { catchSignals } from "../interrupt.ts";
import { createCommand, runGroup } from "../output/command.ts";
import { compareResults, formatComparison } from "./compare.ts";
import { FULL, QUICK, type Suite } from "./context.ts";
import { addHiddenCommands } from "./hidden.ts";
import { observeLoad } from "./machine.ts";
import { SUITES, type SuiteName } from "./measure.ts";
import { findPeers, peerFolders } from "./peers.ts";
import { createProgress } from "./progress.ts";
import { formatDocument, formatSummary } from "./report/document.ts";
import { formatResults, parseResults, type Results } from "./results.ts";
import { MAX_NODES } from "./routes/cluster.ts";
import type { RoutesOptions } from "./routes/suite.ts";
import { runSuites } from "./run.ts";
import { ALL_ROUTES, loadSuite } from "./suites.ts";

/** What `minicni bench …` works with: `print` writes to stdout, `self` is the command line that runs this program. */
export interface BenchProgram {
  readonly host: Host;
  readonly self: readonly string[];
  readonly print: (text: string) => void;
}

interface RunOptions {
  readonly only?: string;
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly out?: string;
  readonly against?: string;
}

/** Exit codes beside 0 (all measured) and 2 (misused). */
const FAILED = 1;
const REGRESSION = 3;

/** The command line of `minicni bench`; `end` is told the exit code where it is not 0. */
export function createBenchCommand(bench: BenchProgram, end: (exitCode: number) => void): Command {
  const program = createCommand("bench", "how fast it is on this machine, beside what others do", [
    ["minicni bench micro --quick", "the allocator and the route diff, in seconds"],
    ["minicni bench cni --only burst", "scenarios with a word in their names"],
    ["minicni bench all --out results.json", "everything, some 45 minutes, and keep it"],
  ]);
  const add = (name: string, suites: readonly SuiteName[], description: string, routes = ALL_ROUTES) =>
    addRunOptions(program.command(name).description(description)).action(
      async (options: RunOptions & Partial<RoutesOptions>) => {
        end(await run(bench, suites, options, { ...routes, ...options }));
      },
    );
  add("alloc", ["alloc"], "giving out addresses: WebAssembly beside other ways to do it, and host-local");
  addRouteOptions(
    add("routes", ["routes"], "the route diff, and whole passes of an agent (these need root)"),
  );
  addOnly(
    add("cni", ["cni"], "ADD and DEL beside the reference plugins (root; CNI_PEERS: folders of newer ones)"),
  );
  addOnly(
    add("network", ["network"], "throughput, latency and limits of pods, beside what others do (root)"),
  );
  const diffAlone = { ...ALL_ROUTES, kernel: false };
  add("micro", ["alloc", "routes"], "alloc, and the route diff without passes and agents", diffAlone);
  add("all", SUITES, "everything");
  program
    .command("report <results>")
    .description("the page and the pictures of results that --out wrote")
    .requiredOption("--out <folder>", "where they go")
    .action((path: string, { out }: { out: string }) => writeReport(bench, path, out));
  addHiddenCommands(program, bench);
  return program;
}

/**
 * `minicni bench …`. Returns the exit code: 0 measured, 1 something failed, 2 misused, 3 slower than `--against`, 130 or
 * 143 interrupted.
 */
export function runBench(
  args: readonly string[],
  host: Host,
  self: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  return runGroup((end) => createBenchCommand({ host, self, print }, end), args, host, print);
}

function addRunOptions(command: Command): Command {
  return command
    .option("--quick", "less than a minute: shows that it works, and about how fast it is")
    .option("--out <file>", "keep the results there, as JSON, from the first scenario on")
    .option("--json", "print the results as JSON, not as tables")
    .option(
      "--against <file>",
      "compare with results that --out wrote; exit code 3 when something is slower",
    );
}

function addOnly(command: Command): Command {
  return command.option("--only <text>", "no scenarios but those whose names hold this text");
}

function addRouteOptions(command: Command): Command {
  return command
    .addOption(new Option("--nodes <list>", "cluster sizes instead of the usual ones").argParser(parseSizes))
    .addOption(
      new Option("--families <which>", "4, 6 or dual").argParser(parseFamilies).default(FAMILIES, "dual"),
    )
    .option("--no-kernel", "the diff alone");
}

/** Runs suites with all that a person may ask of it. Returns the exit code. */
async function run(
  { host, self, print }: BenchProgram,
  names: readonly SuiteName[],
  { quick, json, out, against, only }: RunOptions,
  routes: RoutesOptions,
): Promise<number> {
  // Read first: who learns after half an hour that the file is not there has lost it.
  const before = against === undefined ? null : readResults(host, against);
  const suites = new Map<SuiteName, Suite>();
  for (const name of names) suites.set(name, await loadSuite(name, routes));
  const interruption = catchSignals(host.deadline, (name) =>
    host.log(`${name}: removing what was made; the results so far are kept`),
  );
  const progress = createProgress((line) => host.log(line));
  try {
    const { results, faults } = await runSuites({
      suites,
      effort: quick === true ? QUICK : FULL,
      only,
      self,
      host,
      cleaner: createHost(),
      load: observeLoad(),
      peers: await findPeers(host, peerFolders()),
      tell: progress.tell,
      save: (found) => {
        if (out !== undefined) replaceFile(resolve(out), formatResults(found), PUBLIC);
      },
      interruptedBy: interruption.signal,
    });
    print(json === true ? formatResults(results) : formatSummary(results));
    for (const fault of faults) host.log(fault);
    const isSlower = before !== null && compare(results, before, json === true ? host.log : print);
    if (interruption.signal() !== null) return interruption.exitCode();
    if (faults.length > 0) return FAILED;
    return isSlower ? REGRESSION : 0;
  } finally {
    progress.close();
    interruption.release();
  }
}

function compare(now: Results, before: Results, print: (text: string) => void): boolean {
  const compared = compareResults(now, before);
  print(formatComparison(compared));
  return compared.some(({ verdict }) => verdict === "regression");
}

function readResults(host: Host, path: string): Results {
  const text = host.readFile(path);
  if (text === null) throw new HostError(`there is no file ${path}`, "name a file that --out wrote");
  return parseResults(text, path);
}

function writeReport({ host }: BenchProgram, path: string, folder: string): void {
  for (const [name, text] of Object.entries(formatDocument(readResults(host, path)))) {
    replaceFile(resolve(folder, name), text, PUBLIC);
  }
}

function parseFamilies(text: string): readonly Family[] {
  const found = text === "dual" ? FAMILIES : FAMILIES.filter((family) => String(family) === text);
  if (found.length === 0) throw new InvalidArgumentError("wanted 4, 6 or dual.");
  return found;
}

function parseSizes(text: string): readonly number[] {
  return text.split(",").map((size) => {
    const count = /^[0-9]+$/.test(size) ? Number(size) : 0;
    if (count < 2 || count > MAX_NODES) throw new InvalidArgumentError(`wanted 2 … ${MAX_NODES} nodes.`);
    return count;
  });
}
