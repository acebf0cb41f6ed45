import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { OWN_NETWORK } from "../../topology/conflist.ts";
import { describeDoubled, listDoubled } from "../doubled.ts";
import { createLeakCheck } from "./leaks.ts";
import { countOwnAddresses } from "./networks.ts";
import { createPodMtu } from "./pod-mtu.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";

/** Looks per grace period: an attachment has to look dead at each of them. */
const LOOKS = 4;
const SHORTEST_MS = 1_000;
const LONGEST_MS = 30_000;
/** Without a grace period only addresses are counted. */
const COUNT_MS = 30_000;
/** Of the look at pods' MTU: it costs next to nothing while nothing changed, and a wrong one loses packets. */
const MTU_PERIOD_MS = 5_000;
/** A pass waits for locks that calls of the runtime hold, some seconds each. */
const BUDGET_MS = 300_000;

/**
 * Beside the loop of passes, because it waits for locks: leaked attachments, the MTU of pods, and the figures of the
 * address ranges.
 * `openHost`: the machine for so many milliseconds.
 */
export function openLeaks(
  settings: AgentSettings,
  openHost: (timeoutMs: number) => Host,
  { health, journal, metrics }: Voices,
  now: () => number,
): { close(): void } {
  const { graceMs, stateDir, confDir } = { ...settings, graceMs: settings.leakGraceMs };
  const check = createLeakCheck(openHost, { stateDir, confDir, graceMs }, now);
  const periodMs = graceMs === 0 ? COUNT_MS : Math.min(LONGEST_MS, Math.max(SHORTEST_MS, graceMs / LOOKS));
  const heartbeat = health.loop("leaks", BUDGET_MS + periodMs);
  const podMtu = createPodMtu(openHost, settings);
  const turnsPerLook = Math.ceil(periodMs / MTU_PERIOD_MS);
  const turnMs = periodMs / turnsPerLook;
  let turn = 0;
  let isClosed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const lookForLeaks = async () => {
    const { removed, faults } = await check.pass();
    if (removed.length > 0) {
      metrics.leaksRemoved(removed.length);
      const keys = removed.map(({ network, containerId, ifname }) => `${network}/${containerId}/${ifname}`);
      const change = keys.join(" ");
      metrics.repair("attachment", "kernel", change, removed.length);
      journal.info("leaked attachments removed", { count: removed.length, change });
    }
    const doubled = listDoubled(confDir, openHost(SHORTEST_MS * 10)).map(describeDoubled);
    journal.state("doubled capabilities", doubled.length === 0 ? null : doubled.join("; "));
    journal.state("leaks", faults.length === 0 ? null : faults.join("; "));
    const use = countOwnAddresses(openHost(SHORTEST_MS * 10), settings);
    metrics.addresses(use.map((range) => ({ network: OWN_NETWORK, ...range })));
  };
  const followMtu = async () => {
    const mtu = await podMtu.pass();
    if (mtu.changes.length > 0) {
      const change = mtu.changes.join("; ");
      metrics.repair("link", "kernel", change, mtu.changes.length);
      journal.info("MTU of pods", { cause: "kernel", change });
    }
    journal.state("MTU of pods", mtu.faults.length === 0 ? null : mtu.faults.join("; "));
  };
  const again = async () => {
    try {
      turn += 1;
      await followMtu();
      if (turn % turnsPerLook === 0) await lookForLeaks();
      journal.state("leak check", null);
    } catch (error) {
      journal.state("leak check", messageOf(error));
    }
    heartbeat.beat();
    if (!isClosed) timer = setTimeout(again, turnMs);
  };
  timer = setTimeout(again, turnMs);
  return {
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
