import { startDaemon, stopDaemon } from "../../../host/daemon.ts";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { formatNodeList } from "../../../kube/nodelist.ts";
import type { ClusterNode } from "../../../net/node.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import type { Backend } from "../../../topology/path.ts";
import type { Context } from "../context.ts";
import type { Scratch } from "../scratch.ts";

/** What a whole agent took. */
export interface AgentReport {
  /** From the start of the process to a node.json that says ready, in milliseconds. */
  readonly readyMs: number;
  /** Resident memory some quiet passes later, and the most it ever was, in MiB. */
  readonly restMiB: number;
  readonly peakMiB: number;
  /** Processor time a second of those quiet passes, children included, in milliseconds. */
  readonly idleMsPerS: number;
}

/** What an agent is started with, and where. */
export interface AgentRequest {
  readonly cluster: readonly ClusterNode[];
  readonly backend: Backend;
  readonly netns: NetnsPath;
  /** How long it is watched once it is ready, in milliseconds. */
  readonly quietMs: number;
}

const READY_TIMEOUT_MS = 120_000;
const POLL_MS = 10;
/** Between two looks whether the run was interrupted. */
const SLICE_MS = 250;
/** USER_HZ of Linux on all architectures we build for (proc(5)). */
const TICKS_PER_S = 100;
/** For the agent to end by itself. */
const STOP_MS = 5_000;

/**
 * Starts `minicni agent` in the namespace, waits until it is ready and then `quietMs`; it is ended whatever happens.
 * Throws HostError when it does not get ready.
 */
export async function measureAgent(
  { host, self }: Pick<Context, "host" | "self">,
  { disk, memory }: Scratch,
  { cluster, backend, netns, quietMs }: AgentRequest,
): Promise<AgentReport> {
  const [nodesPath, logPath, stateDir] = [`${disk}/nodes.json`, `${disk}/log`, `${memory}/state`];
  host.writeFile(nodesPath, formatNodeList(cluster));
  const own = ["--state-dir", stateDir, "--data-dir", `${disk}/data`, "--conf-dir", "", "--listen", ""];
  const node = ["--node", cluster[0]?.name ?? "", "--nodes", nodesPath, "--backend", backend];
  const began = performance.now();
  const daemon = startDaemon({ argv: [...self, "agent", ...node, ...own], netns, env: {}, logPath });
  try {
    while (host.readFile(`${stateDir}/node.json`)?.includes('"ready": true') !== true) {
      if (performance.now() - began > READY_TIMEOUT_MS) {
        const said = host.readFile(logPath)?.slice(-500);
        throw new HostError(`the agent is not ready: ${said}`, "see its log");
      }
      await pause(host, POLL_MS);
    }
    const readyMs = performance.now() - began;
    const quietFrom = performance.now();
    const before = ticksOf(daemon.pid, host);
    for (let left = quietMs; left > 0; left = quietMs - (performance.now() - quietFrom)) {
      await pause(host, Math.min(left, SLICE_MS));
    }
    const ticks = ticksOf(daemon.pid, host) - before;
    const status = host.readFile(`/proc/${daemon.pid}/status`) ?? "";
    return {
      readyMs,
      restMiB: mebibytes("VmRSS", status),
      peakMiB: mebibytes("VmHWM", status),
      idleMsPerS: ((ticks / TICKS_PER_S) * 1000) / ((performance.now() - quietFrom) / 1000),
    };
  } finally {
    await stopDaemon(daemon, STOP_MS);
  }
}

/** Throws OverdueError once the run is interrupted. */
async function pause(host: Host, milliseconds: number): Promise<void> {
  host.deadline.check("a whole agent");
  await host.sleep(milliseconds);
}

function mebibytes(key: string, status: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** utime, stime, cutime and cstime (proc(5), fields 14 … 17), behind the name, which may hold blanks. */
function ticksOf(pid: number, host: Host): number {
  const stat = host.readFile(`/proc/${pid}/stat`) ?? "";
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
}
