import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { untilInterrupted } from "../../interrupt.ts";
import { createCommand, runAction } from "../../output/command.ts";
import { FOLDERS } from "../../output/folders.ts";
import { formatJson } from "../../output/json.ts";
import { withProgress } from "../../output/progress.ts";
import type { Screen } from "../../output/screen.ts";
import { VERSION } from "../../version.ts";
import { addJsonOption } from "../options.ts";
import { chooseNetwork, type ProbeNetwork } from "../probe-network.ts";
import { requireRoot, withProbePod } from "../probe-pod.ts";
import type { TraceReport } from "./report.ts";
import { traceRuns } from "./run.ts";
import { findServed, timeServed } from "./served.ts";
import { simulate } from "./simulate.ts";
import { formatTrace } from "./text.ts";

/** What `minicni trace` was told. */
interface TraceOptions {
  readonly json?: boolean;
  readonly config?: string;
  readonly confDir: string;
  readonly binDir: string;
  readonly simulate?: boolean;
  readonly each?: boolean;
  readonly served?: boolean;
  readonly count: number;
  readonly sandbox?: string;
}

const MOST_RUNS = 1_000;

/** The command line of `minicni trace`, without an action. */
export function createTraceCommand(): Command {
  const command = createCommand("trace", "one ADD, CHECK and DEL with the time of each step; taken back", [
    ["minicni trace", "a throwaway pod on this node; exit 0 well, 1 a verb failed, 2 the trace failed"],
    ["minicni trace --simulate", "in namespaces of its own: nothing of this node is touched"],
    ["minicni trace --count 20", "least, median and most of each step"],
    ["minicni trace --each", "the steps of a plan one by one"],
    ["minicni trace --served", "also through the program and the agent, as a runtime calls"],
  ]);
  return addJsonOption(command)
    .option("--config <file>", "network configuration (default: the one that a runtime takes)")
    .addOption(FOLDERS.conf())
    .addOption(FOLDERS.bin())
    .option("--simulate", "in namespaces of its own")
    .addOption(new Option("--count <number>", "so many times").default(1).argParser(parseCount))
    .option("--each", "run the steps of a plan one by one, to time each")
    .addOption(
      new Option("--served", "time the program with the agent behind it, too").conflicts([
        "simulate",
        "sandbox",
      ]),
    )
    .addOption(new Option("--sandbox <path>", "a network namespace that is there").hideHelp());
}

/** `minicni trace`: returns the exit code: 0 all verbs went well, 1 one failed, 2 the trace itself failed or was misused. */
export function runTrace(
  args: readonly string[],
  host: Host,
  self: readonly string[],
  screen: Screen,
): Promise<number> {
  return runAction<TraceOptions>(createTraceCommand(), args, host, screen, (options) => {
    requireRoot("trace makes a network namespace and a pod in it");
    return untilInterrupted(host, async () => {
      const report = await withProgress(screen, (tell) => trace(options, self, host, tell));
      screen.print(options.json === true ? formatJson("trace", { ...report }) : formatTrace(report, screen));
      return isWell(report) ? 0 : 1;
    });
  });
}

function isWell({ runs, served }: TraceReport): boolean {
  const isServedWell = served === null || served.verbs.every(({ fault }) => fault === null);
  return isServedWell && runs.flat().every(({ fault }) => fault === null);
}

async function trace(
  options: TraceOptions,
  self: readonly string[],
  host: Host,
  tell: (what: string) => void,
): Promise<TraceReport> {
  const { count, binDir, confDir } = options;
  const file = options.config ?? null;
  const isEach = options.each === true;
  if (options.simulate === true) {
    const network = file === null ? networkOrNull(confDir, host) : chooseNetwork({ file, confDir }, host);
    tell(`${count === 1 ? "a run" : `${count} runs`} in a namespace`);
    return await simulate({ network, count, isEach }, self, host);
  }
  const network = chooseNetwork({ file, confDir }, host);
  const cniVersion = network.version;
  const place = options.served === true ? findServed(binDir, host) : null;
  const made = { purpose: "trace", network, binDir, sandbox: options.sandbox ?? null };
  return await withProbePod(made, host, async (pod) => {
    const runs = await traceRuns(pod, { count, isEach, cniVersion }, tell);
    tell("calls of the program");
    const served =
      place === null || typeof place === "string"
        ? null
        : await timeServed(pod, place, { count, cniVersion }, host);
    return {
      minicni: VERSION,
      isSimulated: false,
      config: network.file,
      network: network.name,
      cniVersion,
      others: [...network.others],
      containerId: pod.containerId,
      isEach,
      runs,
      served,
      notServed: typeof place === "string" ? place : null,
    };
  });
}

/** What a runtime would take; null: nothing of ours is there to go by. */
function networkOrNull(confDir: string, host: Host): ProbeNetwork | null {
  try {
    return chooseNetwork({ file: null, confDir }, host);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return null;
  }
}

function parseCount(text: string): number {
  const number = Number(text);
  if (/^[0-9]+$/.test(text) && number >= 1 && number <= MOST_RUNS) return number;
  throw new InvalidArgumentError(`wanted a number from 1 to ${MOST_RUNS}.`);
}
