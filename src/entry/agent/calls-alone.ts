import type { Host } from "../../host/machine.ts";
import { catchSignals } from "../interrupt.ts";
import { openCalls } from "./calls.ts";

/**
 * `minicni calls STATE_DIR [QUIET_MS]`: what the agent does for launchers and nothing else of it, for tests that want a node without
 * an agent's repairs. Says `ready` once it listens; ends by SIGTERM or SIGINT.
 */
export async function runCalls(
  args: readonly string[],
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  const [stateDir, quiet] = args;
  if (
    stateDir === undefined ||
    args.length > 2 ||
    !stateDir.startsWith("/") ||
    Number.isNaN(Number(quiet ?? 0))
  ) {
    host.log("usage: minicni calls STATE_DIR [QUIET_MS]");
    return 2;
  }
  // Without it a call leaves nothing for later, as the binary: what a test sees behind an answer is all there will be.
  const quietMs = quiet === undefined ? null : Number(quiet);
  const ended = Promise.withResolvers<void>();
  const stop = catchSignals(host.deadline, () => ended.resolve());
  const calls = openCalls({ stateDir, quietMs }, { served: () => undefined, log: host.log });
  print("ready\n");
  await ended.promise;
  await calls.close();
  stop.release();
  return 0;
}
