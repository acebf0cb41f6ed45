import type { Host } from "../../host/machine.ts";
import { catchSignals } from "../interrupt.ts";
import { openCalls } from "./calls.ts";

/**
 * `minicni calls STATE_DIR`: what the agent does for launchers and nothing else of it, for tests that want a node without
 * an agent's repairs. Says `ready` once it listens; ends by SIGTERM or SIGINT.
 */
export async function runCalls(
  args: readonly string[],
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  const [stateDir] = args;
  if (stateDir === undefined || args.length !== 1 || !stateDir.startsWith("/")) {
    host.log("usage: minicni calls STATE_DIR");
    return 2;
  }
  const ended = Promise.withResolvers<void>();
  const stop = catchSignals(host.deadline, () => ended.resolve());
  const calls = openCalls({ stateDir }, { served: () => undefined, log: host.log });
  print("ready\n");
  await ended.promise;
  await calls.close();
  stop.release();
  return 0;
}
