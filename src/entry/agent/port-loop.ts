import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { repairPorts } from "../host-ports/index.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";

/**
 * Between two looks, in milliseconds. Where nf_tables keeps the rules a look is one question to the kernel as long as
 * nobody has changed any; elsewhere a few spawns.
 */
const PERIOD_MS = 2_000;
const PERIOD_OF_SPAWNS_MS = 5_000;
/** For the lock, which a call may hold while iptables waits for its own, and for the repair. */
const LIMIT_MS = 60_000;

/**
 * Beside the loop of passes: puts rules of host ports back that somebody has flushed (a firewall that starts anew,
 * `iptables -F`), and takes those away that no live attachment accounts for. `openHost`: the machine for so many
 * milliseconds.
 */
export function openPorts(
  { stateDir }: Pick<AgentSettings, "stateDir">,
  openHost: (timeoutMs: number) => Host,
  { health, journal, metrics }: Voices,
): { close(): void } {
  const heartbeat = health.loop("host ports", LIMIT_MS + PERIOD_OF_SPAWNS_MS);
  let isClosed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = async () => {
    const host = openHost(LIMIT_MS);
    try {
      const { changed } = await repairPorts(stateDir, host);
      if (changed.length > 0) {
        const change = changed.join("; ");
        metrics.repair("rule", "kernel", change, changed.length);
        journal.info("host ports", { cause: "kernel", change });
      }
      journal.state("host ports", null);
    } catch (error) {
      journal.state("host ports", messageOf(error));
    }
    heartbeat.beat();
    const hasNumber = host.rulesGeneration("iptables") !== null;
    if (!isClosed) timer = setTimeout(again, hasNumber ? PERIOD_MS : PERIOD_OF_SPAWNS_MS);
  };
  timer = setTimeout(again, 0);
  return {
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
