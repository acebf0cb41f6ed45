import type { NetConf } from "../cni/config.ts";
import { ALLOWLIST, parseTuning, type Tuning, writtenSysctls } from "../cni/tuning.ts";
import type { Host } from "../host/machine.ts";

/**
 * What the configuration says in the keys of the plugin tuning; null: nothing. The list of sysctls that may be set is
 * read only where any is asked for. Throws code 2 or 7.
 */
export function readTuning({ raw }: NetConf, ifname: string, host: Host): Tuning | null {
  const allowlist = writtenSysctls(raw).length === 0 ? null : host.readFile(ALLOWLIST);
  return parseTuning(raw, ifname, allowlist);
}
