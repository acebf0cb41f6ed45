import { createBridgeRepair } from "../../src/entry/agent/bridge.ts";
import { createLeakCheck } from "../../src/entry/agent/leaks.ts";
import { createDeadline } from "../../src/host/deadline.ts";
import { createHost } from "../../src/host/linux.ts";
import type { Sandbox } from "./sandbox.ts";

/** What the agent does beside routes and rules, one pass of it in a process of its own. */
type Part = "bridge" | "leaks";

/** Where the reference plugins are. */
export const REFERENCE_PLUGINS = "/usr/lib/cni";

/** What a pass reports. */
export interface PassView {
  readonly changes?: readonly string[];
  readonly removed?: readonly { readonly containerId: string }[];
  readonly faults: readonly string[];
  readonly candidates?: number;
}

/** The argv of a process that runs this part in the node's namespace; `confDir` empty: no conflists. */
export function passArgv(box: Sandbox, part: Part, confDir = "", graceMs = 1): string[] {
  const settings = JSON.stringify({ stateDir: box.stateDir, confDir, graceMs, pluginDir: REFERENCE_PLUGINS });
  return ["/usr/bin/nsenter", `--net=${box.netns}`, process.execPath, import.meta.path, part, settings];
}

async function main([part, settings = "{}"]: readonly string[]): Promise<void> {
  const given: { stateDir: string; confDir: string; graceMs: number; pluginDir: string } =
    JSON.parse(settings);
  if (part === "bridge") {
    process.stdout.write(JSON.stringify(await createBridgeRepair(createHost(), given).pass()));
    return;
  }
  const check = createLeakCheck((timeoutMs) => createHost(createDeadline(timeoutMs)), given);
  await check.pass();
  await Bun.sleep(given.graceMs);
  process.stdout.write(JSON.stringify(await check.pass()));
}

if (import.meta.main) await main(process.argv.slice(2));
