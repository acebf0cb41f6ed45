import { HOST } from "../plan/step.ts";
import { HostError } from "./errors.ts";
import type { Finished, SpawnRequest } from "./machine.ts";
import { inNetns } from "./netns.ts";

const DEFAULT_TIMEOUT_MS = 30_000;
/** Where iproute2 and iptables live when a runtime hands us a bare environment. */
const FALLBACK_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The one door to other programs: argv array, no shell, `LC_ALL=C` (messages are matched), bounded time, output read
 * to the end. Throws HostError when the program can't be started.
 */
export function spawn(request: SpawnRequest): Finished {
  const [program = ""] = request.argv;
  const path = process.env.PATH ?? FALLBACK_PATH;
  const child = inNetns(request.netns ?? HOST, () => {
    try {
      return Bun.spawnSync({
        cmd: [...request.argv],
        env: { ...(request.env ?? process.env), PATH: request.env?.PATH ?? path, LC_ALL: "C" },
        stdin: request.stdin === undefined ? "ignore" : new TextEncoder().encode(request.stdin),
        stdout: "pipe",
        stderr: "pipe",
        timeout: request.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        killSignal: "SIGKILL",
      });
    } catch (error) {
      throw new HostError(
        `can't run \`${program}\`: ${error instanceof Error ? error.message : String(error)} (PATH=${path})`,
        `install the package that provides \`${program}\`, or put it on the PATH of the container runtime`,
      );
    }
  });
  return {
    exitCode: child.exitCode ?? -1,
    stdout: child.stdout.toString(),
    stderr: child.stderr.toString(),
    timedOut: child.exitedDueToTimeout === true,
  };
}
