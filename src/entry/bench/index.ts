import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { formatNodeList } from "../../kube/nodelist.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import type { Backend } from "../../topology/path.ts";
import { type AgentReport, measureAgent } from "./routes/agent.ts";
import { describeCluster, MAX_NODES } from "./routes/cluster.ts";
import { formatCurve } from "./routes/curve.ts";
import { type DiffRow, FULL, measureDiff, QUICK } from "./routes/measure-diff.ts";
import { withNodeNamespace } from "./routes/namespace.ts";
import { createSubject, measurePasses, type PassReport } from "./routes/pass.ts";
import { type BenchReport, formatBenchReport } from "./routes/report.ts";

interface RoutesOptions {
  readonly nodes: readonly number[];
  readonly families: readonly Family[];
  readonly json?: boolean;
  readonly svg?: boolean;
  readonly quick?: boolean;
  readonly kernel: boolean;
}

/** The longest that the passes of one cluster size and backend may take. */
const CHILD_TIMEOUT_MS = 600_000;
const BACKENDS = ["host-gw", "vxlan"] as const;

/**
 * `minicni bench …`. Returns the exit code: 0 measured, 1 something failed, 2 misused.
 * `print` writes to stdout; `self` is the command line that runs this program again.
 */
export async function runBench(
  args: readonly string[],
  host: Host,
  self: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  let exitCode = 0;
  const program = new Command("minicni bench")
    .description("how fast the hot paths are on this machine")
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: (text) => host.log(text.trim()) });
  addFamilies(program.command("routes"))
    .description("the route diff against plain TypeScript, and whole passes of an agent (these need root)")
    .option("--nodes <list>", "cluster sizes", parseSizes, [100, 1000, 5000, 15_000])
    .option("--json", "for machines")
    .option("--svg", "the curve of the diff when nothing changed, as a picture")
    .option("--quick", "fewer repetitions: shows that it works, not how fast it is")
    .option("--no-kernel", "the diff alone")
    .action(async (options: RoutesOptions) => {
      const report = await benchRoutes(options, host, self);
      if (options.svg === true) print(formatCurve(report.diff, "nothing changed"));
      else print(options.json === true ? `${JSON.stringify(report)}\n` : formatBenchReport(report));
      exitCode = report.passes.some(({ passes }) => passes.some(({ failures }) => failures > 0)) ? 1 : 0;
    });
  program
    .command("pass", { hidden: true })
    .description("the passes in the namespace we are in, with a NodeList on stdin")
    .addOption(new Option("--backend <name>").choices(BACKENDS).makeOptionMandatory())
    .action(async ({ backend }: { backend: Backend }) => {
      const text = await Bun.stdin.text();
      print(JSON.stringify(await measurePasses(text, backend, createSubject(host, backend))));
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

async function benchRoutes(
  { nodes, families, quick, svg, kernel }: RoutesOptions,
  host: Host,
  self: readonly string[],
): Promise<BenchReport> {
  const diff: DiffRow[] = [];
  for (const count of nodes)
    diff.push(...(await measureDiff(count, families, quick === true ? QUICK : FULL)));
  const isRoot = process.getuid?.() === 0;
  if (!kernel || svg === true || !isRoot) {
    const notes = kernel && !isRoot ? ["The passes in the kernel were left out: they need root."] : [];
    return { diff, passes: [], agents: [], notes };
  }
  const passes: PassReport[] = [];
  const agents: AgentReport[] = [];
  // Two of the agent's periods, to know what it costs at rest.
  const quietMs = quick === true ? 1_000 : 12_000;
  for (const count of nodes) {
    for (const backend of BACKENDS) {
      passes.push(await passIn(count, families, backend, host, self));
      agents.push(
        await withNodeNamespace(families, host, (netns) =>
          measureAgent(describeCluster(count, families), backend, netns, host, self, quietMs),
        ),
      );
    }
  }
  return { diff, passes, agents, notes: [] };
}

/** In a namespace and a process of their own, as an agent has them: what one leaves in memory does not burden the next. */
async function passIn(
  nodes: number,
  families: readonly Family[],
  backend: Backend,
  host: Host,
  self: readonly string[],
): Promise<PassReport> {
  return await withNodeNamespace(families, host, async (netns) => {
    const { exitCode, stdout, stderr, timedOut } = await host.spawn({
      argv: [...self, "bench", "pass", "--backend", backend],
      stdin: formatNodeList(describeCluster(nodes, families)),
      netns,
      timeoutMs: CHILD_TIMEOUT_MS,
    });
    if (exitCode !== 0) {
      const reason = timedOut ? `not done after ${CHILD_TIMEOUT_MS / 1000} s` : stderr.trim();
      throw new HostError(`the passes of ${nodes} nodes by ${backend} failed: ${reason}`, "see dmesg");
    }
    const report: PassReport = JSON.parse(stdout);
    return report;
  });
}

function addFamilies(command: Command): Command {
  return command.option("--families <which>", "4, 6 or dual", parseFamilies, FAMILIES);
}

function parseFamilies(text: string): readonly Family[] {
  const found = text === "dual" ? FAMILIES : FAMILIES.filter((family) => String(family) === text);
  if (found.length === 0) throw new InvalidArgumentError("wanted 4, 6 or dual.");
  return found;
}

function parseSize(text: string): number {
  const count = /^[0-9]+$/.test(text) ? Number(text) : 0;
  if (count < 2 || count > MAX_NODES) throw new InvalidArgumentError(`wanted 2 … ${MAX_NODES} nodes.`);
  return count;
}

function parseSizes(text: string): readonly number[] {
  return text.split(",").map(parseSize);
}
