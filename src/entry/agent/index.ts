import type { Host } from "../../host/machine.ts";
import { parseListen } from "../../host/serve.ts";
import { runAgent } from "./agent.ts";
import { parseSettings } from "./settings.ts";

/**
 * `minicni agent …`. Returns the exit code when nothing was begun (0 help, 2 misused); else ends the process with it: 0
 * well, 1 failed, 3 a dry run found something to change.
 */
export async function runAgentCommand(
  args: readonly string[],
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  const settings = await parseSettings(args, host, print);
  if (typeof settings === "number") return settings;
  const { listen, page } = settings;
  if (parseListen(listen) === null) {
    host.log(`--listen ${listen}: wanted HOST:PORT, such as 127.0.0.1:9157, [::1]:9157 or :9157`);
    return 2;
  }
  if (parseListen(page) === null) {
    host.log(`--page ${page}: wanted HOST:PORT, such as 127.0.0.1:9159, [::1]:9159 or :9159`);
    return 2;
  }
  if (page !== "" && page === listen) {
    host.log(`--page ${page}: --listen answers there; choose another port`);
    return 2;
  }
  const exitCode = await runAgent(settings, host, print);
  // What runs beside the loop (a question to a peer, a wait for a lock) would hold up the end for seconds.
  process.exit(exitCode);
}
