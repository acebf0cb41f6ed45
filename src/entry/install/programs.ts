import { OWN_TYPE } from "../../cni/config.ts";
import type { Host } from "../../host/machine.ts";
import { STANDALONE } from "../../topology/install.ts";

/** A launcher has some 10 KB, a full binary of either minicni many MB: those need not be read. */
const MOST_LAUNCHER_BYTES = 1 << 20;

/** Whether the plugin in this folder is a launcher of ours, of whatever version: it has in it what it executes. */
export function hasLauncher(binDir: string, host: Host): boolean {
  const path = `${binDir}/${OWN_TYPE}`;
  const found = host.observeFile(path);
  if (found?.kind !== "file" || found.bytes > MOST_LAUNCHER_BYTES) return false;
  return host.readFile(path)?.includes(STANDALONE) ?? false;
}
