import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { HOST } from "../plan/step.ts";
import type { Deadline } from "./deadline.ts";
import { HostError, messageOf } from "./errors.ts";
import { libc } from "./libc.ts";
import { heldLocks } from "./lock.ts";
import type { Finished, SpawnRequest } from "./machine.ts";
import { inNetns, type OpenNetns, openNetns } from "./netns.ts";

/** fcntl.h of Linux, on all architectures we build for. */
const O_CLOEXEC = 0o2000000;
const DEFAULT_TIMEOUT_MS = 30_000;
/** Longest time of a JavaScript timer; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** How long the output of a dead child is waited for: a grandchild may hold the pipe for ever (os/exec's WaitDelay). */
const PIPE_TIMEOUT_MS = 500;
/** Where iproute2 and iptables live when a runtime hands us a bare environment. */
export const FALLBACK_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a finished child took. */
export interface Usage {
  /** From just before its start until we know of its end, in milliseconds. */
  readonly wallMs: number;
  /** Processor time, user and system, with that of the children it waited for (wait4(2)), in milliseconds. */
  readonly cpuMs: number;
}

/**
 * The one door to other programs: argv array, no shell, `LC_ALL=C` (messages are matched), bounded time, output read
 * to the end. A child that is too slow is killed with all of its process group. Throws HostError when the program
 * can't be started, OverdueError when the call's own time ends first.
 */
export async function spawn(
  request: SpawnRequest,
  deadline: Deadline,
  open: OpenNetns = openNetns,
): Promise<Finished> {
  return (await spawnMeasured(request, deadline, open)).finished;
}

/** As {@link spawn}, with what the child took. */
export async function spawnMeasured(
  request: SpawnRequest,
  deadline: Deadline,
  open: OpenNetns = openNetns,
): Promise<{ readonly finished: Finished; readonly usage: Usage }> {
  const command = `\`${request.argv.join(" ")}\``;
  deadline.check(command);
  const { child, began, stdout, stderr } = start(request, open);
  let timedOut = false;
  const kill = () => {
    timedOut = true;
    killGroup(child.pid);
  };
  const limitMs = Math.min(request.timeoutMs ?? DEFAULT_TIMEOUT_MS, deadline.left(), MAX_TIMER_MS - 1);
  // Timers are cut to whole milliseconds: one that comes early would find the deadline not over yet.
  const timer = setTimeout(kill, limitMs + 1);
  const stopListening = deadline.onInterrupt(kill);
  await child.exited;
  const wallMs = performance.now() - began;
  clearTimeout(timer);
  stopListening();
  await within(PIPE_TIMEOUT_MS, Promise.all([stdout.ended, stderr.ended]));
  if (timedOut) deadline.check(command);
  const exitCode = child.exitCode ?? -1;
  const cpuMs = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000;
  const finished = { exitCode, stdout: stdout.text(), stderr: stderr.text(), timedOut };
  return { finished, usage: { wallMs, cpuMs } };
}

/** Waits at most so long, and leaves no timer behind that would keep this process from its end. */
async function within(milliseconds: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

function start(request: SpawnRequest, open: OpenNetns) {
  const [program = ""] = request.argv;
  const path = request.env?.PATH || process.env.PATH || FALLBACK_PATH;
  const stdout = openPipe();
  const stderr = openPipe();
  let began = 0;
  try {
    // The child is born while this thread is in the namespace; nothing is awaited in there.
    const child = inNetns(
      request.netns ?? HOST,
      () => {
        began = performance.now();
        return Bun.spawn({
          cmd: [...request.argv],
          // A given environment is handed on as it is (SPEC §4, delegated plugins).
          env: { ...(request.env ?? { ...process.env, LC_ALL: "C" }), PATH: path },
          stdio: [
            request.stdin === undefined ? "ignore" : new TextEncoder().encode(request.stdin),
            stdout.writeEnd,
            stderr.writeEnd,
            // Not for other plugins: what those leave running would hold our locks for ever.
            ...(request.env === undefined ? heldLocks() : []),
          ],
          // A process group of its own, so that what it started can be killed with it.
          detached: true,
        });
      },
      open,
    );
    return { child, began, stdout: collect(stdout.readEnd), stderr: collect(stderr.readEnd) };
  } catch (error) {
    for (const { readEnd } of [stdout, stderr]) closeSync(readEnd);
    if (error instanceof HostError) throw error;
    throw new HostError(
      `can't run \`${program}\`: ${messageOf(error)} (PATH=${path})`,
      `install the package that provides \`${program}\`, or put it on the PATH of the container runtime`,
    );
  } finally {
    for (const { writeEnd } of [stdout, stderr]) closeSync(writeEnd);
  }
}

/**
 * A pipe of our own: `stdout: "pipe"` of Bun.spawn is a socket, and a shell script that writes to /dev/stdout or
 * /dev/stderr, as many a plugin does, can't open one (ENXIO).
 */
function openPipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const ends = new Int32Array(2);
  if (libc().pipe2(ptr(ends), O_CLOEXEC) !== 0) throw new HostError("no pipe to be had", "raise ulimit -n");
  return { readEnd: ends[0] ?? -1, writeEnd: ends[1] ?? -1 };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It ended on its own in the meantime.
  }
}

function collect(readEnd: number): { readonly ended: Promise<void>; text(): string } {
  const chunks: Uint8Array[] = [];
  const read = async () => {
    for await (const chunk of Bun.file(readEnd).stream()) chunks.push(chunk);
    closeSync(readEnd);
  };
  return { ended: read(), text: () => Buffer.concat(chunks).toString() };
}
