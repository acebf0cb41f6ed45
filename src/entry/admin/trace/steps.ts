import { formatStep } from "../../../plan/format.ts";
import type { Operation, Plan, Step } from "../../../plan/step.ts";

/** How one call of the machine is named in a table. */
export interface StepName {
  readonly step: string;
  readonly what: string;
  /** A row of its own, also beside others of the same step. */
  readonly isAlone: boolean;
}

/** One call of the machine, as far as its name depends on it. */
export interface MachineCall {
  /** Name of the function of `Host`. */
  readonly name: string;
  readonly args: readonly unknown[];
  /** The step of the lock that is held, innermost; null: none that says more than the call itself. */
  readonly scope: string | null;
  /** The step before; null: the first one. */
  readonly before: string | null;
}

/** While the kernel opens a new port; what is asked then is the same link again and again. */
export const PORT_STEP = "bridge port opens";
/** The store is worked on under its lock: what is done in there is one step. */
export const ALLOCATION_STEP = "allocation";
const LINKS_STEP = "links, addresses, routes";
const RECORD_WRITTEN = "record written";

/** By the end of a lock's path: what is done while it is held; null: everything, so that it says nothing. */
const SCOPES: readonly (readonly [path: RegExp, step: string | null])[] = [
  [/\/attachments\.lock$/, null],
  [/\/bridge\.lock$/, "bridge"],
  [/\/rules\.lock$/, "masquerade rules"],
  [/\/(hostports|portrules)\.lock$/, "host ports"],
  [/\/released\.lock$/, "connections flushed"],
  [/\/lock$/, ALLOCATION_STEP],
];

/** What is done while the lock at this path is held; null: as the calls themselves say. */
export function scopeOf(path: string): string | null {
  return SCOPES.find(([pattern]) => pattern.test(path))?.[1] ?? null;
}

/** By the path of a file or a folder. */
const FILES: readonly (readonly [path: RegExp, name: string])[] = [
  [/\/node\.json$/, "wait for the agent"],
  [/\/released(\/|$)/, "connections flushed"],
  [/\/(hostports|portrules)/, "host ports"],
  [/\/masquerade(\/|$)/, "masquerade rules"],
  [/^\/proc\/sys\/|^\/proc\/net\//, "forwarding looked at"],
  [/\/(resolv\.conf|tuning\/[^/]*)$/, "files of others"],
  [/\/[0-9a-f]+[.:][0-9a-f.:]*$/, "reservations looked at"],
];

const RECORDS: Readonly<Record<string, string>> = {
  readFile: "record read",
  writeFile: RECORD_WRITTEN,
  removeFile: "record removed",
};

/** Those that are named by themselves, or by the lock that is held. */
const BY_NAME: Readonly<Record<string, string>> = {
  namespaceId: "sandbox looked at",
  isNetns: "sandbox looked at",
  routeMtu: "MTU chosen",
  trackedConnections: "connections flushed",
  flushConnections: "connections flushed",
  flushPortFlows: "host ports",
  rulesGeneration: "masquerade rules",
};

/** The name of one call. */
export function nameCall(call: MachineCall): StepName {
  const { name, args, scope, before } = call;
  const shared = (step: string, what = ""): StepName => ({ step: scope ?? step, what, isAlone: false });
  switch (name) {
    case "spawn":
      return { step: scope ?? "program", what: argvOf(args[0]), isAlone: true };
    case "execute":
    case "executeEach": {
      const plan = planOf(args[0]);
      return { step: scope ?? nameOfPlan(plan), what: describePlan(plan), isAlone: true };
    }
    case "sleep":
      return shared(before ?? "pause");
    // Asked along the way, and known after the first time.
    case "bootId":
    case "log":
      return shared(before ?? "node looked at");
    case "link":
      // The first look is behind the plan that made the port.
      if (before === LINKS_STEP || before === PORT_STEP) return shared(PORT_STEP);
      return shared("links looked at");
    case "links":
    case "addresses":
      return shared("links looked at");
    default:
      return shared(BY_NAME[name] ?? nameOfFile(name, args[0]) ?? "node looked at");
  }
}

/** The name of one step of a plan that is run by itself. */
export function nameStep(step: Step, scope: string | null): StepName {
  const [line = ""] = formatStep(step).split("\n");
  return { step: scope ?? GROUPS[step.op.split(".")[0] ?? ""] ?? step.op, what: line, isAlone: true };
}

const GROUPS: Readonly<Record<string, string>> = {
  link: "links",
  addr: "addresses",
  route: "routes",
  neigh: "neighbours",
  fdb: "neighbours",
  vlan: "VLANs",
  qdisc: "limits",
  filter: "limits",
  sysctl: "sysctls",
  rules: "rules",
};

/** Whether a span is the one behind which an attachment's result is complete. */
export function isRecordWritten({ step }: Pick<StepName, "step">): boolean {
  return step === RECORD_WRITTEN;
}

function nameOfFile(name: string, path: unknown): string | null {
  if (typeof path !== "string") return null;
  if (/\/attachments(\/|$)/.test(path)) return RECORDS[name] ?? "records listed";
  return FILES.find(([pattern]) => pattern.test(path))?.[1] ?? null;
}

function nameOfPlan(plan: Plan): string {
  if (plan.every(({ op }) => op === "link.del")) return "links removed";
  if (plan.some((step) => step.op === "link.add" && step.link.kind === "bridge")) return "bridge";
  return plan.every(({ op }) => op.startsWith("rules.")) ? "rules" : LINKS_STEP;
}

/** `12 steps: link.add, 4 link.set, 2 addr.replace`. */
function describePlan(plan: Plan): string {
  const counts = new Map<Operation["op"], number>();
  for (const { op } of plan) counts.set(op, (counts.get(op) ?? 0) + 1);
  const words = [...counts].map(([op, number]) => (number === 1 ? op : `${number} ${op}`));
  return `${plan.length === 1 ? "" : `${plan.length} steps: `}${words.join(", ")}`;
}

/** `execute` and `executeEach` get a plan, as their types say. */
function planOf(value: unknown): Plan {
  return Array.isArray(value) ? value : [];
}

function argvOf(request: unknown): string {
  if (typeof request !== "object" || request === null || !("argv" in request)) return "";
  const words = Array.isArray(request.argv) ? request.argv.map(String).join(" ") : "";
  return "netns" in request && typeof request.netns === "string" && request.netns !== ""
    ? `${words} (in the sandbox)`
    : words;
}
