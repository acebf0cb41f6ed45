import { type Command, Option } from "commander";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import { type AgentReport, type ReadReport, readReport } from "../../agent/report.ts";
import { createCommand, FAILED, runAction } from "../../output/command.ts";
import { formatJson } from "../../output/json.ts";
import { withProgress } from "../../output/progress.ts";
import type { Screen } from "../../output/screen.ts";
import { VERSION } from "../../version.ts";
import { readCluster } from "../nodes.ts";
import {
  addJsonOption,
  addNodesOptions,
  addPlaceOptions,
  type NodesOptions,
  nodesChoice,
  type PlaceOptions,
  parsePort,
} from "../options.ts";
import { askAgents, chooseAskingPort } from "./ask.ts";
import { describeCluster } from "./cluster.ts";
import { formatCluster } from "./cluster-text.ts";
import { collectNode, observeRoutes } from "./collect.ts";
import { judgeNode } from "./judge.ts";
import { judgeLife, observeLock } from "./life.ts";
import { formatNode } from "./node.ts";
import { printable } from "./printable.ts";

/** What `minicni status` was told. */
interface StatusOptions extends PlaceOptions, NodesOptions {
  readonly json?: boolean;
  readonly cluster?: boolean;
  readonly faulty?: boolean;
  readonly port?: number;
}

/** The command line of `minicni status`, without an action. */
export function createStatusCommand(): Command {
  const command = createCommand("status", "this node's pod network at a glance, or that of every Node", [
    ["minicni status", "this node; exit 0 all well, 1 something is wrong, 2 it failed"],
    ["minicni status --cluster", "a row per Node, as it is seen from here"],
    ["minicni status --cluster --faulty", "of a large cluster, those that something is wrong with"],
    ["minicni status --cluster --port 9157", "ask the agents, where they listen on the nodes' addresses"],
  ]);
  addNodesOptions(addPlaceOptions(addJsonOption(command)));
  return command
    .option("--cluster", "every Node, seen from this one")
    .option("--faulty", "with --cluster: those alone that something is wrong with")
    .addOption(
      new Option(
        "--port <number>",
        "with --cluster: port of the agents (default: ours, unless it is on loopback)",
      ).argParser(parsePort),
    );
}

/** `minicni status`: returns the exit code: 0 all well, 1 something is wrong, 2 it failed or was misused. */
export function runStatus(args: readonly string[], host: Host, screen: Screen): Promise<number> {
  const command = createStatusCommand();
  return runAction<StatusOptions>(command, args, host, screen, (options) => {
    if (options.cluster === true) return showCluster(options, host, screen);
    if (options.faulty === true || options.port !== undefined)
      command.error("--faulty and --port are for --cluster", { exitCode: FAILED });
    return showNode(options, host, screen);
  });
}

async function showNode(options: StatusOptions, host: Host, screen: Screen): Promise<number> {
  const places = { ...options, node: options.node ?? null };
  const seen = await collectNode(places, host, new Date());
  const wrong = judgeNode(seen);
  if (options.json === true) screen.print(formatJson("status", { ...seen, wrong }));
  else screen.print(formatNode(printable(seen), printable(wrong), screen));
  return wrong.length > 0 ? 1 : 0;
}

async function showCluster(options: StatusOptions, host: Host, screen: Screen): Promise<number> {
  const { rows, self, words } = await withProgress(screen, (tell) => lookAtCluster(options, host, tell));
  const isFaultyOnly = options.faulty === true;
  const shown = isFaultyOnly ? rows.filter(({ wrong }) => wrong.length > 0) : rows;
  if (options.json === true) {
    const head = { takenAt: new Date().toISOString(), minicni: VERSION, node: self, ...words };
    screen.print(formatJson("status --cluster", { ...head, total: rows.length, nodes: shown }));
  } else screen.print(formatCluster(printable(rows), printable({ ...words, isFaultyOnly }), screen));
  return rows.some(({ wrong }) => wrong.length > 0) ? 1 : 0;
}

async function lookAtCluster(options: StatusOptions, host: Host, tell: (what: string) => void) {
  tell("asking for the Nodes");
  const own = await readOwn(options.stateDir, host);
  const { report } = own;
  const cluster = await readCluster(nodesChoice(options, options.dataDir), report, host);
  if (cluster.snapshot === null) {
    throw new HostError(
      `no Nodes: ${cluster.fault}`,
      "name a source: --kubeconfig FILE, or --nodes FILE with what `kubectl get nodes -o json` prints",
    );
  }
  const self = options.node ?? report?.settings.node ?? null;
  const asking = chooseAskingPort(options.port ?? null, report?.settings.listen ?? null);
  const { nodes } = cluster.snapshot;
  const others = nodes.filter(({ name }) => name !== self);
  const tellDone = (done: number) => tell(`asking agents: ${done} of ${others.length}`);
  const answers: Map<string, ReadReport> =
    asking.port === null ? new Map() : await askAgents(others, asking.port, tellDone);
  if (self !== null) answers.set(self, own.answer);
  const view = { cluster, self, report: own.answer.report, destinations: observeWays(host), answers };
  const { source, isLive, fault } = cluster;
  const words = { source: source ?? "nowhere", isLive, fault, notAsked: asking.why };
  return { rows: describeCluster(view), self, words };
}

/** What our own agent last said, and what it would answer: an ended one nothing, and its ways may be others by now. */
async function readOwn(
  stateDir: string,
  host: Host,
): Promise<{ readonly report: AgentReport | null; readonly answer: ReadReport }> {
  const told = readReport(stateDir, host);
  if (told.report === null) return { report: null, answer: told };
  const { isLocked } = await observeLock(stateDir, host);
  const by = { isLocked, bootId: host.bootId(), nowMs: Date.now(), isReadable: true };
  const life = judgeLife(told.report, by);
  if (life === "running") return { report: told.report, answer: told };
  const fault = `${life === "silent" ? "has told nothing for a while" : "does not run"}; see minicni status`;
  return { report: told.report, answer: { report: null, fault } };
}

/** Where our routes lead; null: can't be seen. */
function observeWays(host: Host): Map<string, "direct" | "tunnel"> | null {
  try {
    const tunnels = Object.values(TUNNEL_NAMES).map((name) => host.link(name)?.index);
    const { destinations } = observeRoutes(host);
    return new Map(
      [...destinations].map(([dst, index]) => [dst, tunnels.includes(index) ? "tunnel" : "direct"]),
    );
  } catch {
    return null;
  }
}
