import { existsSync, readdirSync, readFileSync } from "node:fs";
import { askHttp } from "../../../host/ask-http.ts";
import { isRunning, startDaemon, stopDaemon } from "../../../host/daemon.ts";
import { HostError } from "../../../host/errors.ts";
import { processTimeMs } from "../../../host/process-time.ts";
import { formatNodeList } from "../../../kube/nodelist.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import { callSocket } from "../../agent/calls.ts";
import type { Context } from "../context.ts";
import { describeCluster, nodePrefix } from "../routes/cluster.ts";

/** A node's agent, which answers calls of the launcher there. */
export interface Serving {
  readonly pid: number;
  /** Processor time so far of the agent and of its children, in milliseconds; of those that ended, to 10 ms. */
  cpuMs(): number;
  /** Resident memory of the agent now, in MiB. */
  residentMiB(): number;
  /** Throws HostError unless the agent itself answered so many calls, each well, and sent none elsewhere. */
  verify(calls: number): Promise<void>;
  stop(): Promise<void>;
}

/** Where an agent is started: the node's namespace, and its folders. */
export interface ServingRequest {
  readonly netns: NetnsPath;
  readonly stateDir: string;
  readonly dataDir: string;
  /** The binary. */
  readonly program: string;
}

/** In a namespace of the node's own, where nobody else listens. */
const PORT = 9157;
const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 10;
const ASK_TIMEOUT_MS = 5_000;
/** For the agent to end by itself. */
const STOP_MS = 5_000;
const LOG_TAIL = 500;
/** USER_HZ of Linux on all architectures we build for (proc(5)). */
const TICK_MS = 10;

/**
 * Starts the real agent of a cluster of one node and waits until it takes calls and has done its first pass. Throws
 * HostError when it does not get there; it is ended then.
 */
export async function startServing(
  { host }: Pick<Context, "host">,
  { netns, stateDir, dataDir, program }: ServingRequest,
): Promise<Serving> {
  const cluster = describeCluster(1, [4]);
  const [nodesPath, logPath] = [`${dataDir}-nodes.json`, `${dataDir}-agent.log`];
  host.writeFile(nodesPath, formatNodeList(cluster));
  const why = "the agent looks for its address, and answers at 127.0.0.1";
  await host.execute([
    { op: "link.set", name: "lo", set: { up: true }, netns, why },
    { op: "addr.replace", dev: "lo", prefix: nodePrefix(4, 1), nodad: true, netns, why },
  ]);
  const node = ["--node", cluster[0]?.name ?? "", "--nodes", nodesPath, "--backend", "host-gw"];
  const folders = ["--state-dir", stateDir, "--data-dir", dataDir, "--conf-dir", ""];
  const argv = [program, "agent", ...node, ...folders, "--listen", `127.0.0.1:${PORT}`];
  const daemon = startDaemon({ argv, netns, env: {}, logPath });
  const stop = async () => {
    await stopDaemon(daemon, STOP_MS);
  };
  try {
    const end = performance.now() + READY_TIMEOUT_MS;
    const isReady = () =>
      existsSync(callSocket(stateDir)) &&
      host.readFile(`${stateDir}/node.json`)?.includes('"ready": true') === true;
    while (!isReady()) {
      host.deadline.check("the agent of a node");
      if (!isRunning(daemon) || performance.now() > end) {
        const said = host.readFile(logPath)?.slice(-LOG_TAIL);
        throw new HostError(`the agent takes no calls: ${said}`, "see its log");
      }
      await host.sleep(POLL_MS);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const { pid } = daemon;
  return {
    pid,
    cpuMs: () =>
      [pid, ...childrenOf(pid)].reduce((sum, one) => sum + (processTimeMs(one) ?? 0), endedChildrenMs(pid)),
    residentMiB: () => {
      const kib = /^VmRSS:\s+(\d+) kB/m.exec(host.readFile(`/proc/${pid}/status`) ?? "")?.[1];
      return Number(kib ?? Number.NaN) / 1024;
    },
    verify: async (calls) => {
      const answer = await askHttp(netns, PORT, "/metrics", ASK_TIMEOUT_MS);
      const fault = judgeCalls(answer?.body ?? "", calls);
      if (fault !== null)
        throw new HostError(`the agent did not serve all calls: ${fault}`, `see ${logPath}`);
    },
    stop,
  };
}

/** Processes that a process started and has not waited for, by the threads that started them (proc(5)). */
function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim();
      return text === "" ? [] : text.split(" ").map(Number);
    });
  } catch {
    // A thread, or all of it, ended while we looked.
    return [];
  }
}

/** cutime and cstime of proc(5), fields 16 and 17, behind the name, which may hold blanks. */
function endedChildrenMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
  } catch {
    return 0;
  }
}

/** What an agent's metrics say against `calls` ADDs and DELs, all answered well by itself; null: nothing. */
export function judgeCalls(metrics: string, calls: number): string | null {
  const found = new Map<string, number>();
  for (const [, labels = "", value] of metrics.matchAll(/^minicni_agent_calls_total\{([^}]*)\} (\d+)$/gm)) {
    const outcome = /outcome="([^"]*)"/.exec(labels)?.[1] ?? "";
    found.set(outcome, (found.get(outcome) ?? 0) + Number(value));
  }
  const others = [...found].filter(([outcome, count]) => outcome !== "ok" && count > 0);
  const served = found.get("ok") ?? 0;
  if (served === calls && others.length === 0) return null;
  const rest = others.map(([outcome, count]) => `, ${count} ${outcome}`).join("");
  return `${calls} calls were made, ${served} served${rest}`;
}
