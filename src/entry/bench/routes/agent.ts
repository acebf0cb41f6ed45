import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { startDaemon, stopDaemon } from "../../../host/daemon.ts";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { formatNodeList } from "../../../kube/nodelist.ts";
import type { ClusterNode } from "../../../net/node.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import type { Backend } from "../../../topology/path.ts";

/** A whole agent in a cluster of so many Nodes. */
export interface AgentReport {
  readonly nodes: number;
  readonly backend: Backend;
  /** From the start of the process to a node.json that says ready, in milliseconds. */
  readonly readyMs: number;
  /** Resident memory some quiet passes later, and the most it ever was, in MiB. */
  readonly restMiB: number;
  readonly peakMiB: number;
  /** Processor time a second of those quiet passes, children included, in milliseconds. */
  readonly idleMsPerS: number;
}

const READY_TIMEOUT_MS = 120_000;
const POLL_MS = 10;
/** USER_HZ of Linux on all architectures we build for (proc(5)). */
const TICKS_PER_S = 100;

/** Starts `minicni agent` in the namespace, waits until it is ready and then `quietMs`; it is ended whatever happens. */
export async function measureAgent(
  cluster: readonly ClusterNode[],
  backend: Backend,
  netns: NetnsPath,
  host: Host,
  self: readonly string[],
  quietMs: number,
): Promise<AgentReport> {
  const folder = mkdtempSync(`${tmpdir()}/minicni-bench-`);
  try {
    host.writeFile(`${folder}/nodes.json`, formatNodeList(cluster));
    const own = [
      "--state-dir",
      `${folder}/state`,
      "--data-dir",
      `${folder}/data`,
      "--conf-dir",
      "",
      "--listen",
      "",
    ];
    const [first] = cluster;
    const node = ["--node", first?.name ?? "", "--nodes", `${folder}/nodes.json`, "--backend", backend];
    const began = performance.now();
    const logPath = `${folder}/log`;
    const daemon = startDaemon({ argv: [...self, "agent", ...node, ...own], netns, env: {}, logPath });
    try {
      while (host.readFile(`${folder}/state/node.json`)?.includes('"ready": true') !== true) {
        if (performance.now() - began > READY_TIMEOUT_MS)
          throw new HostError(
            `the agent is not ready: ${host.readFile(logPath)?.slice(-500)}`,
            "see its log",
          );
        await host.sleep(POLL_MS);
      }
      const readyMs = performance.now() - began;
      const before = ticksOf(daemon.pid, host);
      await host.sleep(quietMs);
      const ticks = ticksOf(daemon.pid, host) - before;
      const status = host.readFile(`/proc/${daemon.pid}/status`) ?? "";
      return {
        nodes: cluster.length,
        backend,
        readyMs,
        restMiB: mebibytes("VmRSS", status),
        peakMiB: mebibytes("VmHWM", status),
        idleMsPerS: ((ticks / TICKS_PER_S) * 1000) / (quietMs / 1000),
      };
    } finally {
      await stopDaemon(daemon, 5_000);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
