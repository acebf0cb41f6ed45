import type { Command } from "commander";
import { Option } from "commander";
import { judge } from "../../doctor/check.ts";
import { CHECKS } from "../../doctor/checks.ts";
import { type Facts, parseFacts, type SectionName } from "../../doctor/facts.ts";
import { describeReport, exitCodeOf } from "../../doctor/report.ts";
import { HostError, messageOf } from "../../host/errors.ts";
import { PUBLIC, replaceFile } from "../../host/files.ts";
import type { Host } from "../../host/machine.ts";
import { readCluster } from "../admin/nodes.ts";
import {
  addJsonOption,
  addNodesOptions,
  addPlaceOptions,
  type NodesOptions,
  nodesChoice,
  type PlaceOptions,
} from "../admin/options.ts";
import { readReport } from "../agent/report.ts";
import { createCommand, runAction } from "../output/command.ts";
import { parseFolder } from "../output/folders.ts";
import { formatJson } from "../output/json.ts";
import { withProgress } from "../output/progress.ts";
import type { Screen } from "../output/screen.ts";
import { collectFacts } from "./collect/index.ts";
import { formatDoctor } from "./text.ts";

/** What `minicni doctor` was told. */
interface DoctorOptions extends PlaceOptions, NodesOptions {
  readonly json?: boolean;
  readonly save?: string;
  readonly from?: string;
  readonly only?: readonly string[];
  readonly probe: boolean;
  readonly root: string;
}

/** The command line of `minicni doctor`, without an action. */
export function createDoctorCommand(): Command {
  const command = createCommand("doctor", "what is wrong with this node's pod network, why, and what to do", [
    ["minicni doctor", "look at everything; exit 0 fine, 1 findings, 2 the doctor failed"],
    ["minicni doctor --only A4,B1", "some checks"],
    ["minicni doctor --save facts.json", "keep what was seen, to be judged elsewhere"],
    ["minicni doctor --from facts.json", "judge what was kept"],
    ["minicni doctor --root /host", "in a container that has the host's root there"],
  ]);
  addNodesOptions(addPlaceOptions(addJsonOption(command)));
  return command
    .option("--save <file>", "keep the facts there, as JSON")
    .addOption(new Option("--from <file>", "judge saved facts in place of this node").conflicts("save"))
    .addOption(new Option("--only <ids>", "these checks alone").argParser(parseIds))
    .option("--no-probe", "send no packet to other nodes")
    .addOption(
      new Option("--root <folder>", "where the host's /etc, /run and /usr are")
        .default("")
        .argParser(parseRoot),
    );
}

/** `/` says that the host's files are where they belong, as in a `chroot`; without a word a pod is not believed to see them. */
function parseRoot(path: string): string {
  return path === "/" ? "/." : parseFolder(path);
}

/** `minicni doctor`: returns the exit code: 0 fine, 1 findings, 2 the doctor itself failed or was misused. */
export function runDoctor(args: readonly string[], host: Host, screen: Screen): Promise<number> {
  return runAction<DoctorOptions>(createDoctorCommand(), args, host, screen, async (options) => {
    const checks = CHECKS.filter(({ id }) => options.only === undefined || options.only.includes(id));
    const sections = new Set(checks.flatMap(({ needs }) => needs));
    const facts =
      options.from === undefined
        ? await withProgress(screen, (tell) => collect(options, host, sections, tell))
        : load(options.from, host);
    if (options.save !== undefined) save(options.save, facts);
    const report = describeReport(facts, judge(checks, facts));
    screen.print(options.json === true ? formatJson("doctor", { ...report }) : formatDoctor(report, screen));
    return exitCodeOf(report);
  });
}

async function collect(
  options: DoctorOptions,
  host: Host,
  sections: ReadonlySet<SectionName>,
  tell: (what: string) => void,
): Promise<Facts> {
  tell("asking for the Nodes");
  const { report: agent, fault: agentFault } = readReport(options.stateDir, host);
  const cluster = await readCluster(nodesChoice(options, options.dataDir), agent, host);
  const node = options.node ?? agent?.settings.node ?? null;
  const settings = { ...options, mayProbe: options.probe };
  const context = { host, settings, agent, agentFault, cluster, node };
  return await collectFacts(
    context,
    new Date(),
    (section) => tell(`looking at ${section}`),
    (section) => sections.has(section),
  );
}

function load(path: string, host: Host): Facts {
  const text = host.readFile(path);
  if (text === null) throw new HostError(`there is no file ${path}`, "name a file that --save wrote");
  try {
    return parseFacts(text);
  } catch (error) {
    throw new HostError(`${path}: ${messageOf(error)}`, "name a file that --save wrote");
  }
}

function save(path: string, facts: Facts): void {
  try {
    replaceFile(path, `${JSON.stringify(facts, null, 2)}\n`, PUBLIC);
  } catch (error) {
    throw new HostError(`${path} can't be written: ${messageOf(error)}`, "name another file for --save");
  }
}

function parseIds(text: string): string[] {
  const known = CHECKS.map(({ id }) => id);
  return text.split(",").map((part) => {
    const id = part.trim().toUpperCase();
    if (known.includes(id)) return id;
    throw new HostError(`there is no check ${part.trim()}`, `the checks are ${known.join(", ")}`);
  });
}
