import { HostError, OverdueError } from "../../host/errors.ts";
import { formatPlan } from "../../plan/format.ts";
import type { KnownNodes } from "./nodes.ts";
import type { Pass } from "./pass.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";
import type { Reason, Wakeups } from "./wakeups.ts";

/** Longest time that one pass, with steps that hang, may take before a restart is the better idea. */
const PASS_BUDGET_MS = 180_000;
/** How long `--once` waits for the Nodes. */
const ONCE_TIMEOUT_MS = 30_000;

interface LoopVoices {
  readonly journal: Voices["journal"];
  readonly health: Pick<Voices["health"], "loop" | "set">;
}

/** One pass after the other, until the wake-ups are closed. `tick`: behind each pass. */
export async function runLoop(
  settings: Pick<AgentSettings, "resyncPeriodMs">,
  pass: Pass,
  nodes: Pick<KnownNodes, "now">,
  wakeups: Wakeups,
  { health, journal }: LoopVoices,
  tick: () => void,
): Promise<void> {
  const heartbeat = health.loop("resync", PASS_BUDGET_MS + settings.resyncPeriodMs);
  let dueAt = performance.now();
  for (;;) {
    const woken = await wakeups.wait(dueAt - performance.now());
    if (wakeups.isClosed()) return;
    const isDue = performance.now() >= dueAt;
    // A timer may come a millisecond early.
    if (!isDue && woken.size === 0) continue;
    if (isDue) dueAt = performance.now() + settings.resyncPeriodMs;
    try {
      await pass.run(nodes.now(), new Set<Reason>(isDue ? [...woken, "timer"] : woken));
      journal.state("pass", null);
    } catch (error) {
      if (error instanceof OverdueError && wakeups.isClosed()) return;
      // Nothing that one pass meets may end the agent: the next one looks again.
      const fault = error instanceof HostError ? `${error.message}: ${error.hint}` : String(error);
      journal.state("pass", fault);
      health.set("routes", fault);
    }
    heartbeat.beat();
    tick();
  }
}

/** One pass as soon as the Nodes are known. Returns the exit code: 0 well, 1 failed, 3 a dry run found changes. */
export async function runOnce(
  settings: Pick<AgentSettings, "dryRun">,
  pass: Pass,
  nodes: Pick<KnownNodes, "now">,
  wakeups: Wakeups,
  print: (text: string) => void,
): Promise<number> {
  const end = performance.now() + ONCE_TIMEOUT_MS;
  while (nodes.now().snapshot === null && performance.now() < end) {
    await wakeups.wait(end - performance.now());
    if (wakeups.isClosed()) return 1;
  }
  const report = await pass.run(nodes.now(), new Set<Reason>(["start"]));
  if (settings.dryRun) print(formatPlan(report.plan));
  if (report.hasFailed) return 1;
  return settings.dryRun && report.plan.length > 0 ? 3 : 0;
}
