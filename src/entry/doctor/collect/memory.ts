import type { Memory } from "../../../doctor/sections/memory.ts";
import type { Host } from "../../../host/machine.ts";
import { commandLineOf, observeProcesses } from "../../../host/processes.ts";
import { type DoctorContext, Unseen } from "./context.ts";

/** A memory controller's names (cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst). */
interface Controller {
  readonly mount: string;
  /** Of /proc/PID/cgroup. */
  readonly line: RegExp;
  readonly limit: string;
  readonly used: string;
  /** The field of memory.stat, and the file with the field oom_kill. */
  readonly inactive: string;
  readonly events: string;
}

/** The older one in front: on a machine with both, memory is where it is named. */
const CONTROLLERS: readonly Controller[] = [
  {
    mount: "/sys/fs/cgroup/memory",
    line: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    limit: "limit_in_bytes",
    used: "usage_in_bytes",
    inactive: "total_inactive_file",
    events: "oom_control",
  },
  {
    mount: "/sys/fs/cgroup",
    line: /^0::(.*)$/m,
    limit: "max",
    used: "current",
    inactive: "inactive_file",
    events: "events",
  },
];
/** Version 1 says so for "no limit": the largest multiple of a page in 63 bits. */
const NO_LIMIT = 2 ** 62;
/** A pod's cgroup by either driver of the kubelet, `pod<UID>` and `kubepods-…-pod<UID>.slice`, or a unit of systemd. */
const OWNER = /(?:^|-)pod[0-9a-f]{8}[-_][0-9a-f_-]+(?:\.slice)?$|\.service$/;

/** The memory of the agent's cgroup; null without an agent that can be seen. Throws Unseen. */
export function collectMemory(context: DoctorContext): Memory {
  const pid = findAgent(context);
  if (pid === null) return null;
  const found = observeMemory(context.host, pid);
  if (found === null) throw new Unseen(`the memory of process ${pid} can't be seen from here`);
  return { pid, ...found };
}

/** The agent of this state folder: a process of ours with the command `agent`; the one that wrote the report, where it is there. */
export function findAgent({ host, agent, settings }: DoctorContext): number | null {
  const netnsOf = (process: number | "self") => host.namespaceId(`/proc/${process}/ns/net`);
  const ours = observeProcesses().filter(({ pid, name }) => {
    if (!name.startsWith("minicni")) return false;
    const words = commandLineOf(pid);
    const at = words.indexOf("--state-dir");
    const folder = at < 0 ? null : words[at + 1];
    const isOfNode = words.includes("agent") && (folder === null || folder === settings.stateDir);
    // Nodes in containers (kind) and those of the lab have agents of their own.
    const [own, other] = [netnsOf("self"), netnsOf(pid)];
    return isOfNode && (own === null || other === null || own === other);
  });
  // In a container's own PID namespace it has another number than here.
  return (ours.find(({ pid }) => pid === agent?.pid) ?? ours[0])?.pid ?? null;
}

type Observed = Omit<NonNullable<Memory>, "pid">;

/**
 * The memory of a process' cgroup, or of its pod's or service's. Those above are shared with others: what is killed there is
 * not for this process' memory. Null: it can't be seen.
 */
export function observeMemory(host: Pick<Host, "readFile">, pid: number): Observed | null {
  const lines = host.readFile(`/proc/${pid}/cgroup`) ?? "";
  const mounts = host.readFile("/proc/self/mountinfo") ?? "";
  for (const controller of CONTROLLERS) {
    const path = controller.line.exec(lines)?.[1];
    const found =
      path === undefined ? null : observe(host, controller, below(path, controller.mount, mounts));
    if (found !== null) return found;
  }
  return null;
}

/** A container of version 1 sees its own cgroup as the root of the mount, and its path from the host's root. */
function below(path: string, mount: string, mounts: string): string {
  const line = mounts.split("\n").find((one) => one.split(" ")[4] === mount);
  const root = line?.split(" ")[3] ?? "/";
  const isBelow = root !== "/" && (path === root || path.startsWith(`${root}/`));
  return isBelow ? path.slice(root.length) : path;
}

/** From the process' own cgroup up to that of its pod or service; where there is none, its own. */
function foldersOf(path: string): { readonly folders: string[]; readonly owner: string | null } {
  const parts = path.split("/").filter(Boolean);
  const at = parts.findLastIndex((part) => OWNER.test(part));
  const first = at < 0 ? parts.length : at + 1;
  const folders = Array.from({ length: parts.length - first + 1 }, (_, index) =>
    parts.slice(0, parts.length - index).join("/"),
  );
  return { folders, owner: parts[at] ?? null };
}

function observe(host: Pick<Host, "readFile">, controller: Controller, path: string): Observed | null {
  const { mount, limit: limitName, used: usedName, inactive, events } = controller;
  const { folders, owner } = foldersOf(path);
  const read = (folder: string, name: string) =>
    host.readFile(`${mount}${folder === "" ? "" : `/${folder}`}/memory.${name}`) ?? "";
  const number = (folder: string, name: string) => {
    const text = read(folder, name).trim();
    return /^[0-9]+$/.test(text) && Number(text) < NO_LIMIT ? Number(text) : null;
  };
  const field = (folder: string, file: string, name: string) =>
    Number(new RegExp(`^${name} ([0-9]+)$`, "m").exec(read(folder, file))?.[1] ?? 0);
  const seen = folders.flatMap((folder) => {
    const used = number(folder, usedName);
    if (used === null) return [];
    const limit = number(folder, limitName);
    const reclaimable = Math.min(used, field(folder, "stat", inactive));
    return [{ folder, limit, used, reclaimable, kills: field(folder, events, "oom_kill") }];
  });
  const share = ({ limit, used, reclaimable }: (typeof seen)[number]) =>
    limit === null ? -1 : (used - reclaimable) / Math.max(limit, 1);
  const [nearest] = seen.toSorted((a, b) => share(b) - share(a));
  if (nearest === undefined) return null;
  const { folder, limit, used, reclaimable } = nearest;
  const kills = Math.max(...seen.map((one) => one.kills));
  return { cgroup: `${mount}/${folder}`, owner, limit, used, reclaimable, kills };
}
