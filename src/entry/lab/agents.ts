import { askHttp } from "../../host/ask-http.ts";
import {
  type Daemon,
  type FoundProcess,
  findProcesses,
  isRunning,
  startDaemon,
  stopDaemon,
} from "../../host/daemon.ts";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { CONFLIST_FILE } from "../../topology/conflist.ts";
import { labNetns, netnsPath } from "../../topology/lab.ts";
import type { Backend } from "../../topology/path.ts";
import { inParallel } from "./parallel.ts";
import { LAB_FOLDER, labNamespaces, NODE_LIST, nodeFolder } from "./state.ts";

/** Where an agent tells how it is, in its own namespace. */
const PORT = 9157;
/** First pass of an agent on a busy machine, in milliseconds. */
const READY_TIME_MS = 30_000;
const POLL_MS = 50;
const ASK_TIME_MS = 2_000;
/** What an agent gets for its own end, in milliseconds. */
const STOP_TIME_MS = 10_000;
/** Lines of agent.log that an error shows. */
const LOG_TAIL = 15;

/** The command line of a node's agent. */
export function agentArgv(node: string, backend: Backend, self: readonly string[]): string[] {
  const folder = nodeFolder(node);
  const folders = [
    ...["--state-dir", `${folder}/state`],
    ...["--data-dir", `${folder}/data`],
    ...["--conf-dir", `${folder}/conf`],
  ];
  const listen = ["--listen", `127.0.0.1:${PORT}`];
  return [
    ...self,
    "agent",
    "--node",
    node,
    "--nodes",
    NODE_LIST,
    "--backend",
    backend,
    ...folders,
    ...listen,
  ];
}

/** Starts a node's agent, unless it runs. Returns whether it was started. */
export function startAgent(node: string, backend: Backend, self: readonly string[], host: Host): boolean {
  if (agentOf(node, host) !== null) return false;
  const folder = nodeFolder(node);
  const { pid, startTime } = startDaemon({
    argv: agentArgv(node, backend, self),
    netns: netnsPath(labNetns(node)),
    // Nothing of the caller's: KUBECONFIG or MINICNI_… would change what the agent does.
    env: { LC_ALL: "C" },
    logPath: `${folder}/agent.log`,
  });
  host.writeFile(`${folder}/agent.pid`, `${pid} ${startTime}\n`);
  return true;
}

/** The running agent that this lab started on a node; null: none runs. */
export function agentOf(node: string, host: Host): Daemon | null {
  const [pid, startTime] = (host.readFile(`${nodeFolder(node)}/agent.pid`) ?? "").trim().split(" ");
  if (!pid || !startTime) return null;
  const daemon = { pid: Number(pid), startTime };
  return isRunning(daemon) ? daemon : null;
}

/** Ends a node's agent by SIGTERM, or at once by SIGKILL. Returns how it went, in words. */
export async function stopAgent(node: string, host: Host, isKill = false): Promise<string> {
  const daemon = agentOf(node, host);
  const how = daemon === null ? "gone" : await stopDaemon(daemon, isKill ? 0 : STOP_TIME_MS);
  host.removeFile(`${nodeFolder(node)}/agent.pid`);
  if (how === "gone") return "no agent runs";
  if (how === "stopped") return "agent stopped";
  return isKill ? "agent killed" : `agent did not end in ${STOP_TIME_MS / 1000} s and was killed`;
}

/** Why a node's agent is not ready, in one line; null: it is, and has published what a runtime needs. */
export async function whyNotReady(node: string, host: Host): Promise<string | null> {
  if (agentOf(node, host) === null) return "no agent runs";
  const answer = await askHttp(netnsPath(labNetns(node)), PORT, "/readyz", ASK_TIME_MS);
  if (answer === null) return "the agent does not answer";
  if (answer.status !== 200)
    return `the agent is not ready: ${answer.body.trim().replace(/\s*\n\s*/g, "; ")}`;
  const isPublished = host.readFile(`${nodeFolder(node)}/conf/${CONFLIST_FILE}`) !== null;
  return isPublished ? null : "the agent has written no conflist";
}

/** Waits until a node's agent is ready. Throws HostError, with the end of its log, when it ends or takes too long. */
export async function awaitAgent(node: string, host: Host): Promise<void> {
  const end = performance.now() + READY_TIME_MS;
  for (;;) {
    host.deadline.check(`waiting for the agent of ${node}`);
    const why = await whyNotReady(node, host);
    if (why === null) return;
    if (agentOf(node, host) === null || performance.now() > end) {
      const path = `${nodeFolder(node)}/agent.log`;
      const log = (host.readFile(path) ?? "").trim().split("\n").slice(-LOG_TAIL).join("\n");
      throw new HostError(`${node}: ${why}; ${path} ends with:\n${log}`, "see the log above");
    }
    await host.sleep(POLL_MS);
  }
}

/**
 * Ends every agent of the lab, also one whose PID nobody wrote down, and the `ip monitor` that a killed agent left
 * behind. Anything else that runs in the lab's namespaces is somebody's own. Returns how many agents there were.
 */
export async function stopAllAgents(host: Host): Promise<number> {
  const inside = new Set(labNamespaces(host).map((name) => host.namespaceId(netnsPath(name))));
  const left = findProcesses().filter(({ namespaceId }) => inside.has(namespaceId));
  // One whose namespace somebody removed is known by its file alone.
  const recorded = host.listFolder(LAB_FOLDER).flatMap((node) => agentOf(node, host) ?? []);
  const agents = new Map<number, Daemon>();
  for (const daemon of [...left.filter(isAgent), ...recorded]) agents.set(daemon.pid, daemon);
  // First, since one that lives would start another monitor.
  await stopEach([...agents.values()]);
  await stopEach(left.filter(isMonitor));
  return agents.size;
}

async function stopEach(daemons: readonly Daemon[]): Promise<void> {
  await inParallel(daemons, daemons.length, (daemon) => stopDaemon(daemon, STOP_TIME_MS));
}

function isAgent({ argv }: FoundProcess): boolean {
  return argv.includes("agent") && argv.some((word) => word.startsWith(`${LAB_FOLDER}/`));
}

function isMonitor({ argv }: FoundProcess): boolean {
  return /(^|\/)ip$/.test(argv[0] ?? "") && argv.includes("monitor");
}
