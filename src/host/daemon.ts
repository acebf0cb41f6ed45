import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { NetnsPath } from "../plan/step.ts";
import { HostError, messageOf } from "./errors.ts";
import { folderOf, unlessMissing } from "./files.ts";
import { inNetns } from "./netns.ts";
import { FALLBACK_PATH } from "./spawn.ts";

/** A process that outlives us. `startTime` (field 22 of /proc/PID/stat) tells it from another one with the same PID. */
export interface Daemon {
  readonly pid: number;
  readonly startTime: string;
}

/** What is to run, and where; `env` is its whole environment but for PATH. */
export interface DaemonRequest {
  readonly argv: readonly string[];
  readonly netns: NetnsPath;
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr are appended to this file; its folder is made (0755). */
  readonly logPath: string;
}

/** A running process and where it is. */
export interface FoundProcess extends Daemon {
  readonly argv: readonly string[];
  /** Device and inode of its network namespace, as `Host.namespaceId`. */
  readonly namespaceId: string;
}

const POLL_MS = 20;
/** For the kernel to end a process that got SIGKILL, in milliseconds. */
const KILL_TIME_MS = 5_000;

/**
 * Starts a process in a session of its own: neither our end nor a signal to our terminal's group ends it. It inherits
 * no file of ours. Throws HostError when it can't be started.
 */
export function startDaemon({ argv, netns, env, logPath }: DaemonRequest): Daemon {
  mkdirSync(folderOf(logPath), { recursive: true, mode: 0o755 });
  const log = openSync(logPath, "a", 0o600);
  try {
    const child = inNetns(netns, () =>
      Bun.spawn({
        cmd: [...argv],
        env: { PATH: process.env.PATH || FALLBACK_PATH, ...env },
        stdio: ["ignore", log, log],
        detached: true,
      }),
    );
    child.unref();
    return { pid: child.pid, startTime: readStat(child.pid)?.startTime ?? "0" };
  } catch (error) {
    if (error instanceof HostError) throw error;
    throw new HostError(`can't start \`${argv[0] ?? ""}\`: ${messageOf(error)}`, "is the program there?");
  } finally {
    closeSync(log);
  }
}

/** Whether this very process runs still; one that has ended and that nobody has waited for does not. */
export function isRunning({ pid, startTime }: Daemon): boolean {
  const stat = readStat(pid);
  return stat !== null && stat.startTime === startTime && !/[ZX]/.test(stat.state);
}

/**
 * Ends a process: SIGTERM, then after `timeoutMs` (0: at once) SIGKILL. A reused PID is left alone. Returns how it went.
 * Throws HostError when it stays after SIGKILL.
 */
export async function stopDaemon(daemon: Daemon, timeoutMs: number): Promise<"gone" | "stopped" | "killed"> {
  if (!isRunning(daemon)) return "gone";
  if (timeoutMs > 0) {
    signal(daemon, "SIGTERM");
    if (await hasEnded(daemon, timeoutMs)) return "stopped";
  }
  signal(daemon, "SIGKILL");
  if (await hasEnded(daemon, KILL_TIME_MS)) return "killed";
  throw new HostError(`process ${daemon.pid} does not end`, `see /proc/${daemon.pid}/stack and dmesg`);
}

function signal(daemon: Daemon, name: "SIGTERM" | "SIGKILL"): void {
  try {
    if (isRunning(daemon)) process.kill(daemon.pid, name);
  } catch {
    // It ended on its own in the meantime.
  }
}

async function hasEnded(daemon: Daemon, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (isRunning(daemon)) {
    if (performance.now() > end) return false;
    await Bun.sleep(POLL_MS);
  }
  return true;
}

/** Every process of the machine that can be looked at, with its network namespace. */
export function findProcesses(): FoundProcess[] {
  return readdirSync("/proc").flatMap((name): FoundProcess[] => {
    if (!/^[0-9]+$/.test(name)) return [];
    try {
      const { dev, ino } = statSync(`/proc/${name}/ns/net`);
      const argv = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").slice(0, -1);
      const startTime = readStat(Number(name))?.startTime;
      if (startTime === undefined) return [];
      return [{ pid: Number(name), startTime, argv, namespaceId: `${dev}:${ino}` }];
    } catch {
      // It ended while we looked, or it is a kernel thread.
      return [];
    }
  });
}

/** State and start time: fields 3 and 22; the name before them is in brackets and may hold anything. Null: no such process. */
function readStat(pid: number): { readonly state: string; readonly startTime: string } | null {
  const text = readGone(`/proc/${pid}/stat`);
  if (text === null) return null;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}

/** ESRCH: it went between open and read. */
function readGone(path: string): string | null {
  try {
    return unlessMissing(() => readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}
