import { HostError } from "../../host/errors.ts";
import type { SpawnRequest } from "../../host/machine.ts";
import type { Context } from "./context.ts";

/** The passes of a large cluster take half a minute; beyond this a machine hangs. */
const TIMEOUT_MS = 300_000;

/**
 * Runs one of our own hidden commands (`hidden.ts`) in a process of its own: its stdout, and the time from just before
 * its start until its output was read, in milliseconds. Throws HostError with its words when it fails.
 */
export async function runChild(
  { host, self }: Pick<Context, "host" | "self">,
  args: readonly string[],
  options: Pick<SpawnRequest, "stdin" | "netns"> = {},
): Promise<{ readonly stdout: string; readonly wholeMs: number }> {
  const argv = [...self, "bench", ...args];
  const began = performance.now();
  const done = await host.spawn({ argv, timeoutMs: TIMEOUT_MS, ...options });
  const wholeMs = performance.now() - began;
  if (done.exitCode === 0) return { stdout: done.stdout, wholeMs };
  const why = done.timedOut ? `not done after ${TIMEOUT_MS / 1000} s` : done.stderr.trim();
  throw new HostError(`\`${argv.join(" ")}\` failed: ${why}`, "see what it said, and dmesg");
}
