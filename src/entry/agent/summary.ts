import type { StepFailure } from "../../host/machine.ts";
import { formatStep } from "../../plan/format.ts";
import type { Plan, Step } from "../../plan/step.ts";

/** What is said of many things of one kind: how many, and the first few by name; null when there are none. */
export function summarise(what: string, items: readonly string[]): string | null {
  if (items.length === 0) return null;
  const shown = items.slice(0, SHOWN).join("; ");
  const more = items.length > SHOWN ? `; and ${items.length - SHOWN} more` : "";
  return items.length === 1 ? `${what}: ${shown}` : `${what} (${items.length}): ${shown}${more}`;
}

/** Enough to see what it is about; with thousands of peers a log line is no list. */
const SHOWN = 5;

/** Object of the node's network that a step changes, as the metrics count it; null for what none of them is. */
export type ChangedObject = "route" | "link" | "address" | "fdb" | "neighbour" | "sysctl";

function objectOf(step: Step): ChangedObject | null {
  const [noun] = step.op.split(".");
  switch (noun) {
    case "route":
    case "link":
    case "fdb":
    case "sysctl":
      return noun;
    case "addr":
      return "address";
    case "neigh":
      return "neighbour";
    default:
      return null;
  }
}

/** The steps that change an object. */
export function stepsAbout(plan: Plan, object: ChangedObject): Plan {
  return plan.filter((step) => objectOf(step) === object);
}

/** How many steps change which object. */
export function countObjects(plan: Plan): ReadonlyMap<ChangedObject, number> {
  const counts = new Map<ChangedObject, number>();
  for (const step of plan) {
    const object = objectOf(step);
    if (object !== null) counts.set(object, (counts.get(object) ?? 0) + 1);
  }
  return counts;
}

/** The steps of a plan that changed something: not those that failed, nor settings of a link that could not be made. */
export function stepsDone(plan: Plan, failures: readonly StepFailure[]): Plan {
  if (failures.length === 0) return plan;
  const failed = new Set(failures.map(({ step }) => step));
  const unmade = failures.flatMap(({ step }) => (step.op === "link.add" ? [step.link.name] : []));
  const isOfUnmade = (step: Step) =>
    step.op === "sysctl.set" && unmade.some((name) => step.key.split("/").includes(name));
  return plan.filter((step) => !failed.has(step) && !isOfUnmade(step));
}

/** A plan in one log field: its first commands, and how many more. */
export function formatCommands(plan: Plan): string {
  const shown = plan.slice(0, 3).map((step) => formatStep(step).split("\n")[0] ?? "");
  return `${shown.join("; ")}${plan.length > 3 ? `; and ${plan.length - 3} more` : ""}`;
}
