import type { NodeSnapshot } from "../../net/node.ts";
import { missedFailures } from "./blocking.ts";
import type { BridgeReport } from "./bridge.ts";
import type { Health } from "./health.ts";
import type { Journal } from "./journal.ts";
import type { Cause, Metrics } from "./metrics.ts";
import type { NetworkOutcome } from "./network.ts";
import type { RulesOutcome } from "./rules.ts";
import { countObjects, formatCommands, stepsAbout, stepsDone, summarise } from "./summary.ts";

/** Where the agent says what it found and did. */
export interface Voices {
  readonly journal: Journal;
  readonly health: Health;
  readonly metrics: Metrics;
}

/** A new snapshot: how many Nodes, and what is wrong with which. */
export function tellNodes({ nodes, faults }: NodeSnapshot, { journal, metrics }: Voices): void {
  metrics.nodes(nodes.length, { fault: faults.length });
  journal.info("nodes", { known: nodes.length, faulty: faults.length });
  journal.state(
    "faulty nodes",
    summarise(
      "left out",
      faults.map(({ node, message }) => `${node} ${message}`),
    ),
  );
}

/** Returns which steps failed that somebody misses; null when none did. */
export function tellNetwork(
  outcome: NetworkOutcome,
  cause: Cause,
  { journal, metrics }: Voices,
): string | null {
  const { plan, failures, paths, peerFaults, conflicts, times } = outcome;
  const done = stepsDone(plan, failures);
  if (done.length > 0) {
    const objects = countObjects(done);
    for (const [object, count] of objects)
      metrics.repair(object, cause, formatCommands(stepsAbout(done, object)), count);
    journal.info("resync", { cause, ...Object.fromEntries(objects), change: formatCommands(done) });
  }
  for (const { step } of failures) metrics.stepFailed(step.op);
  const count = (kind: "direct" | "tunnel") => paths.filter((path) => path.kind === kind).length;
  metrics.peers({ direct: count("direct"), tunnel: count("tunnel"), none: peerFaults.length });
  for (const [family, desired] of outcome.desired)
    metrics.routes(family, desired, outcome.programmed.get(family) ?? 0);
  metrics.conflicts(conflicts.length);
  for (const part of ["observe", "diff", "execute"] as const) metrics.duration(part, times[part] / 1000);
  metrics.duration("total", (times.observe + times.diff + times.execute) / 1000);
  journal.state(
    "peers",
    summarise(
      "not reached",
      peerFaults.map(({ node, message }) => `${node}: ${message}`),
    ),
  );
  journal.state(
    "conflicts",
    summarise(
      "routes of others",
      conflicts.map(({ message }) => message),
    ),
  );
  const withheld =
    outcome.withheld > 0 ? `${outcome.withheld} routes of ours that no Node accounts for are left` : null;
  journal.state("stale routes", withheld);
  journal.state("node address", joined(outcome.addressFaults));
  journal.state("tunnel device", joined(outcome.deviceFaults));
  const failed = summarise(
    "steps failed",
    missedFailures(outcome).map(({ command, message }) => `\`${command}\`: ${message}`),
  );
  journal.state("steps", failed);
  return failed;
}

/**
 * Returns why the rules are not as desired; null when they are. `uncovered`: what the cluster CIDRs of the settings lack;
 * null when nothing.
 */
export function tellRules(
  { changes, faults, warnings, forwardBlocks, variant, plan }: RulesOutcome,
  uncovered: string | null,
  cause: Cause,
  milliseconds: number,
  { journal, health, metrics }: Voices,
): string | null {
  metrics.forwardBlocks(forwardBlocks?.length ?? 0);
  metrics.duration("rules", milliseconds / 1000);
  const families = new Set(plan.flatMap((step) => (step.op === "rules.restore" ? [step.family] : [])));
  for (const family of families) metrics.rulesVariant(family, variant ?? null);
  const describe = ({ family, chain, what }: (typeof changes)[number]) => `IPv${family} ${chain}: ${what}`;
  for (const change of changes) metrics.repair("rule", change.isRepair ? "kernel" : cause, describe(change));
  if (changes.length > 0) {
    const change = changes.map(describe).join("; ");
    journal.info("rules", {
      cause: changes.some(({ isRepair }) => isRepair) ? "kernel" : cause,
      variant,
      change,
    });
  }
  const warning = joined([...warnings, ...(forwardBlocks ?? [])]);
  journal.state("rules of others", warning);
  journal.state("cluster CIDRs", uncovered);
  // No fault: another set of rules is judged from outside, and the node's pods had better stay with what they have.
  health.warn("rules", joined([uncovered, warning].filter((one) => one !== null)));
  const fault = joined(faults);
  journal.state("rules", fault);
  return fault;
}

/** What was brought back of the pods' bridges. */
export function tellBridge({ changes, faults }: BridgeReport, { journal, metrics }: Voices): void {
  if (changes.length > 0) {
    const change = changes.join("; ");
    metrics.repair("bridge", "kernel", change, changes.length);
    journal.info("bridge", { cause: "kernel", change });
  }
  journal.state("bridge faults", joined(faults));
}

function joined(faults: readonly string[]): string | null {
  return faults.length === 0 ? null : faults.join("; ");
}
