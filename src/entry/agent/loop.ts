import { HostError, OverdueError } from "../../host/errors.ts";
import { formatPlan } from "../../plan/format.ts";
import { createFight } from "./fight.ts";
import type { KnownNodes } from "./nodes.ts";
import type { Pass } from "./pass.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";
import { isHint, type Reason, type Wakeups } from "./wakeups.ts";

/** Longest time that one pass, with steps that hang, may take before a restart is the better idea. */
const PASS_BUDGET_MS = 180_000;
/** How long `--once` waits for the Nodes. */
const ONCE_TIMEOUT_MS = 30_000;
/** …and for a source that says why it has none, in case it only needs a moment. */
const FAULT_TIMEOUT_MS = 5_000;

interface LoopVoices {
  readonly journal: Voices["journal"];
  readonly health: Pick<Voices["health"], "loop" | "set">;
}

/**
 * One pass after the other, until the wake-ups are closed. `tick`: behind each pass. `isWatched`: the kernel's changes
 * are followed; else any may have happened.
 */
export async function runLoop(
  settings: Pick<AgentSettings, "resyncPeriodMs">,
  pass: Pass,
  nodes: Pick<KnownNodes, "now">,
  wakeups: Wakeups,
  { health, journal }: LoopVoices,
  tick: () => void,
  isWatched: () => boolean = () => true,
): Promise<void> {
  const heartbeat = health.loop("resync", PASS_BUDGET_MS + settings.resyncPeriodMs);
  const fight = createFight(() => performance.now());
  let dueAt = performance.now();
  for (;;) {
    const woken = await wakeups.wait(dueAt - performance.now());
    if (wakeups.isClosed()) return;
    const isDue = performance.now() >= dueAt;
    // A timer may come a millisecond early.
    if (!isDue && woken.size === 0) continue;
    if (isDue) dueAt = performance.now() + settings.resyncPeriodMs;
    if (!isDue && fight.isOn() && [...woken].every(isHint)) continue;
    const reasons = new Set<Reason>([...woken, ...(isDue ? (["timer"] as const) : []), ...blind(isWatched)]);
    try {
      const { plan } = await pass.run(nodes.now(), reasons);
      fight.note(plan.length > 0, reasons);
      journal.state("pass", null);
      journal.state("fight", fight.isOn() ? FIGHT : null);
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

function blind(isWatched: () => boolean): Reason[] {
  return isWatched() ? [] : ["kernel"];
}

const FIGHT =
  "another program undoes each of our repairs at once: from now on they are made by the timer alone";

/** One pass as soon as the Nodes are known. Returns the exit code: 0 well, 1 failed, 3 a dry run found changes. */
export async function runOnce(
  settings: Pick<AgentSettings, "dryRun">,
  pass: Pass,
  nodes: Pick<KnownNodes, "now">,
  wakeups: Wakeups,
  print: (text: string) => void,
): Promise<number> {
  let end = performance.now() + ONCE_TIMEOUT_MS;
  while (nodes.now().snapshot === null && performance.now() < end) {
    // What is known from disk comes a moment behind the source's fault.
    if (nodes.now().fault !== null) end = Math.min(end, performance.now() + FAULT_TIMEOUT_MS);
    await wakeups.wait(end - performance.now());
    if (wakeups.isClosed()) return 1;
  }
  const report = await pass.run(nodes.now(), new Set<Reason>(["start"]));
  if (settings.dryRun) print(formatPlan(report.plan));
  if (report.hasFailed) return 1;
  return settings.dryRun && report.plan.length > 0 ? 3 : 0;
}
