import { type Command, Option } from "commander";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { BACKENDS, type Backend } from "../../../topology/path.ts";
import { type AgentReport, readReport } from "../../agent/report.ts";
import { parseSettings } from "../../agent/settings.ts";
import { createCommand, FAILED, runCommand } from "../../output/command.ts";
import { formatJson } from "../../output/json.ts";
import { withProgress } from "../../output/progress.ts";
import type { Screen } from "../../output/screen.ts";
import { type DryPass, dryPass, type PassSettings, settingsOfReport } from "../dry-pass.ts";
import { readCluster } from "../nodes.ts";
import {
  addJsonOption,
  addNodesOptions,
  addPlaceOptions,
  type NodesOptions,
  nodesChoice,
  type PlaceOptions,
} from "../options.ts";
import { addAttachCommand } from "./attach.ts";
import { formatNodePlan, isWhole } from "./text.ts";

/** What `minicni plan` was told. */
interface PlanOptions extends PlaceOptions, NodesOptions {
  readonly backend?: Backend;
  readonly json?: boolean;
}

/** As `agent --once --dry-run` ends: something is to be changed. */
const HAS_CHANGES = 3;

/** The command line of `minicni plan`; `plan attach` has its action, `attach` is told its exit code. */
export function createPlanCommand(
  host: Host,
  print: (text: string) => void,
  attach: (exitCode: number) => void,
): Command {
  const command = createCommand(
    "plan",
    "what this node's agent would change now, as commands; changes nothing",
    [
      ["minicni plan", "exit 0: nothing to change; 3: something is; 2: it can't be known"],
      [
        "minicni plan --nodes nodes.json",
        "as if these were the Nodes: kubectl get nodes -o json > nodes.json",
      ],
      ["minicni plan --backend vxlan", "what another backend would change"],
      ["minicni plan attach --config F --netns P", "what an ADD would run"],
    ],
  );
  addNodesOptions(addPlaceOptions(addJsonOption(command))).addOption(
    new Option("--backend <name>", "in place of the agent's").choices(BACKENDS),
  );
  addAttachCommand(command, host, print, attach);
  return command;
}

/** `minicni plan …`. Returns the exit code: 0 nothing to change, 3 something is, 1 `plan attach` was refused, 2 failed or misused. */
export async function runPlan(args: readonly string[], host: Host, screen: Screen): Promise<number> {
  let exitCode: number = FAILED;
  const command = createPlanCommand(host, screen.print, (code) => {
    exitCode = code;
  }).action(async (options: PlanOptions) => {
    const pass = await withProgress(screen, (tell) => planNode(options, host, tell));
    screen.print(options.json === true ? formatJson("plan", { ...pass }) : formatNodePlan(pass, screen));
    exitCode = isWhole(pass) ? (pass.steps.length === 0 ? 0 : HAS_CHANGES) : FAILED;
  });
  return (await runCommand(command, args, host, screen)) ?? exitCode;
}

async function planNode(options: PlanOptions, host: Host, tell: (what: string) => void): Promise<DryPass> {
  tell("asking for the Nodes");
  const { report, fault } = readReport(options.stateDir, host);
  const cluster = await readCluster(nodesChoice(options, options.dataDir), report, host);
  const node = options.node ?? report?.settings.node;
  if (node === undefined) {
    throw new HostError(
      `the name of this Node is not known: ${fault}`,
      "give it by --node, as `kubectl get nodes` shows it",
    );
  }
  const settings = await passSettings(node, options, report, host);
  tell("comparing with the kernel");
  const pass = await dryPass(node, settings, cluster, host);
  if (typeof pass !== "string") return pass;
  throw new HostError(
    `${pass}${cluster.fault === null || pass.includes(cluster.fault) ? "" : ` (${cluster.fault})`}`,
    "name the Nodes by --nodes FILE or --kubeconfig FILE, and this Node by --node",
  );
}

/** What this node's agent was started with; where none ever wrote it, what one would be started with here. */
async function passSettings(
  node: string,
  { backend, stateDir, dataDir, confDir }: PlanOptions,
  report: AgentReport | null,
  host: Host,
): Promise<PassSettings> {
  const folders = ["--state-dir", stateDir, "--data-dir", dataDir, "--conf-dir", confDir];
  const parsed = await parseSettings(["--node", node, ...folders], host, () => undefined);
  if (typeof parsed === "number")
    throw new HostError("the settings of an agent are wrong", "see the variables MINICNI_*");
  const settings = report === null ? parsed : settingsOfReport(report);
  return backend === undefined ? settings : { ...settings, backend };
}
