/** What a loop of the agent says that it still runs by. */
export interface Heartbeat {
  /** It came round once more; a paused loop runs again. */
  beat(): void;
}

/** One health page: whether all is well, and the text for a reader. */
export interface HealthPage {
  readonly ok: boolean;
  readonly text: string;
}

/** Liveness by heartbeats, readiness by conditions. */
export interface Health {
  /** A loop that beats at least every `budgetMs`; the first beat is now. A name known already begins anew. */
  loop(name: string, budgetMs: number): Heartbeat;
  /** The loop is off for a reason, until its next beat. */
  pause(name: string): void;
  /** Null: the condition holds; else why it does not. A condition that was never set does not hold. */
  set(name: string, fault: string | null): void;
  /** What a reader should know of a condition although it holds; null: nothing. */
  warn(name: string, warning: string | null): void;
  /** Whether every condition holds. */
  isReady(): boolean;
  /** Each condition: why it does not hold, and what a reader should know all the same. */
  readiness(): { name: string; fault: string | null; warning: string | null }[];
  /** Each loop: how late it is; null when it is not. */
  loops(): { name: string; fault: string | null }[];
  /** Each condition, and whether it holds. */
  conditions(): [name: string, holds: boolean][];
  /** Fails when a loop is over its budget: a restart may help. */
  healthz(): HealthPage;
  /** Fails while a condition does not hold: a restart does not help. */
  readyz(): HealthPage;
}

/** What has to be true before pods can be reached, in the order in which it becomes true. */
export const READINESS = ["nodes", "routes", "rules", "published"] as const;

/** Of a condition that was never set. */
export const NOT_YET = "not yet";

interface Loop {
  readonly budgetMs: number;
  /** Null: paused. */
  lastBeatMs: number | null;
}

interface Condition {
  readonly fault: string | null;
  /** When it last began to hold, or to fail. */
  readonly sinceMs: number;
}

/** `now`: a monotonic clock in milliseconds (a jump of the wall clock must not kill the agent). */
export function createHealth(now: () => number, conditions: readonly string[] = READINESS): Health {
  const loops = new Map<string, Loop>();
  const known = new Map<string, Condition | null>(conditions.map((name) => [name, null]));
  const warnings = new Map<string, string>();
  const isReady = () => [...known.values()].every((condition) => condition?.fault === null);

  return {
    loop: (name, budgetMs) => {
      const loop: Loop = { budgetMs, lastBeatMs: now() };
      loops.set(name, loop);
      return {
        beat: () => {
          loop.lastBeatMs = now();
        },
      };
    },
    pause: (name) => {
      const loop = loops.get(name);
      if (loop !== undefined) loop.lastBeatMs = null;
    },
    set: (name, fault) => {
      const before = known.get(name);
      const isSame = before != null && (before.fault === null) === (fault === null);
      known.set(name, { fault, sinceMs: isSame ? before.sinceMs : now() });
    },
    warn: (name, warning) => {
      if (warning === null) warnings.delete(name);
      else warnings.set(name, warning);
    },
    isReady,
    readiness: () =>
      [...known].map(([name, condition]) => ({
        name,
        fault: condition === null ? NOT_YET : condition.fault,
        warning: warnings.get(name) ?? null,
      })),
    loops: () => [...loops].map(([name, loop]) => ({ name, fault: describeLate(loop, now()) })),
    conditions: () => [...known].map(([name, condition]) => [name, condition?.fault === null]),
    healthz: () => {
      const checks = [...loops].map(([name, loop]) => checkLoop(name, loop, now()));
      return page("healthz", checks);
    },
    readyz: () => {
      const checks = [...known].map(([name, condition]) =>
        checkCondition(name, condition, warnings.get(name), now()),
      );
      return page("readyz", checks);
    },
  };
}

interface Check {
  readonly ok: boolean;
  readonly line: string;
}

function checkLoop(name: string, loop: Loop, nowMs: number): Check {
  if (loop.lastBeatMs === null) return { ok: true, line: `[+]${name} paused` };
  const late = describeLate(loop, nowMs);
  return late === null ? { ok: true, line: `[+]${name} ok` } : { ok: false, line: `[-]${name} ${late}` };
}

function describeLate({ lastBeatMs, budgetMs }: Loop, nowMs: number): string | null {
  const silentMs = lastBeatMs === null ? 0 : nowMs - lastBeatMs;
  if (silentMs <= budgetMs) return null;
  const late = `late by ${formatSeconds(silentMs - budgetMs)}`;
  return `${late}: last seen ${formatSeconds(silentMs)} ago, budget ${formatSeconds(budgetMs)}`;
}

function checkCondition(
  name: string,
  condition: Condition | null,
  warning: string | undefined,
  nowMs: number,
): Check {
  if (condition === null) return { ok: false, line: `[-]${name} ${NOT_YET}` };
  if (condition.fault === null) {
    return { ok: true, line: `[+]${name} ok${warning === undefined ? "" : `, but: ${oneLine(warning)}`}` };
  }
  const line = `[-]${name} failed for ${formatSeconds(nowMs - condition.sinceMs)}: ${oneLine(condition.fault)}`;
  return { ok: false, line };
}

/** As the health pages of Kubernetes' own components look with `?verbose`. */
function page(name: string, checks: readonly Check[]): HealthPage {
  const ok = checks.every((check) => check.ok);
  const verdict = `${name} check ${ok ? "passed" : "failed"}`;
  return { ok, text: `${[...checks.map(({ line }) => line), verdict].join("\n")}\n` };
}

function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, "; ");
}

function formatSeconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
