import { FLOOR, formatKey, type Interval, LEAST_TURNS, type Measure, SERVED, STANDALONE } from "./measure.ts";
import type { Results } from "./results.ts";
import { PROGRAMMING_SUBJECTS } from "./routes/programmer-names.ts";
import { quotientInterval } from "./statistics.ts";

/** What a comparison says of one measure. "unsure": too few turns, or another machine and nobody to relate to. */
export type Verdict = "regression" | "improvement" | "no change shown" | "unsure";

/** One of our measures in two runs. */
export interface Comparison extends Interval {
  readonly measure: Measure;
  readonly before: Measure;
  /** New value by old value; with `relativeTo`, each by that subject's in its own run. `low` and `high` are its interval. */
  readonly change: number;
  readonly relativeTo: string | null;
  readonly verdict: Verdict;
}

/** Subjects that are ours; the others are what they are compared with. */
const OURS: ReadonlySet<string> = new Set([
  SERVED,
  STANDALONE,
  "minicni agent",
  PROGRAMMING_SUBJECTS.netlink,
  PROGRAMMING_SUBJECTS.pass,
  "WASM",
]);
/**
 * Parts by which two runs of one binary differed, half an hour apart on a quiet virtual machine, beyond what their
 * intervals say: an interval knows one run alone. Most of all where nobody was measured in turns with us. A change has to
 * be larger to be called one.
 */
const DRIFT = { relative: 0.15, alone: 0.35 } as const;

/**
 * Compares our measures that are in both runs. Each is taken relative to a peer that was measured in turns with it in
 * both runs, where there is one, so that a machine that is slower today is no regression.
 */
export function compareResults(now: Results, before: Results): Comparison[] {
  const isSameMachine =
    now.machine.cpu === before.machine.cpu &&
    now.machine.cpus === before.machine.cpus &&
    now.machine.kernel === before.machine.kernel;
  const old = new Map(before.measures.map((measure) => [formatKey(measure), measure]));
  const isRenamed = hasStandalone(now) && !hasStandalone(before);
  return now.measures.flatMap((measure): Comparison[] => {
    const key = isRenamed && measure.suite === "cni" ? renamedKey(measure) : formatKey(measure);
    const other = key === null ? undefined : old.get(key);
    if (!OURS.has(measure.subject) || other === undefined) return [];
    const related = relate(measure, now, other, before);
    const change = related ?? { ...divide(measure, other), relativeTo: null };
    const isKnown = Math.min(measure.turns, other.turns) >= LEAST_TURNS;
    const isComparable = isKnown && (change.relativeTo !== null || isSameMachine);
    const verdict = isComparable ? judge(change, measure.better) : "unsure";
    return [{ measure, before: other, ...change, verdict }];
  });
}

function hasStandalone({ measures }: Results): boolean {
  return measures.some(({ subject }) => subject === STANDALONE);
}

/** Before agents served calls the binary alone was the only one of ours, under the name that served calls have now. */
function renamedKey(measure: Measure): string | null {
  if (measure.subject === SERVED) return null;
  return formatKey(measure.subject === STANDALONE ? { ...measure, subject: SERVED } : measure);
}

type Change = Interval & { readonly change: number; readonly relativeTo: string | null };

/** Ours by a peer's, now by before; the peer is the first one that both runs have. Null: there is none. */
function relate(measure: Measure, now: Results, other: Measure, before: Results): Change | null {
  for (const peer of peersOf(measure, now)) {
    const mine = ratioTo(measure, peer, now);
    const theirs = ratioTo(other, peer, before);
    if (mine !== null && theirs !== null) return { ...divide(mine, theirs), relativeTo: peer };
  }
  return null;
}

/** The other subjects of the scenario; the floor last, since a process of half a millisecond says least about ours. */
function peersOf(measure: Measure, { measures }: Results): string[] {
  const subjects = measures
    .filter((other) => isSameScenario(measure, other) && !OURS.has(other.subject))
    .map(({ subject }) => subject);
  return [...subjects.filter((subject) => subject !== FLOOR), ...subjects.filter((name) => name === FLOOR)];
}

/** How many times the peer's value ours is, from whichever of the two the run has the ratio with. */
function ratioTo(
  measure: Measure,
  peer: string,
  { measures }: Results,
): (Interval & { median: number }) | null {
  const direct = measure.ratios.find(({ to }) => to === peer);
  if (direct !== undefined) return { median: direct.ratio, low: direct.low, high: direct.high };
  const inverse = measures
    .find((other) => isSameScenario(measure, other) && other.subject === peer)
    ?.ratios.find(({ to }) => to === measure.subject);
  if (inverse === undefined) return null;
  return { median: 1 / inverse.ratio, low: 1 / inverse.high, high: 1 / inverse.low };
}

function isSameScenario(a: Measure, b: Measure): boolean {
  return a.suite === b.suite && a.scenario === b.scenario && a.metric === b.metric;
}

function divide(
  a: Interval & { readonly median: number },
  b: Interval & { readonly median: number },
): Interval & { readonly change: number } {
  const { ratio, low, high } = quotientInterval(a, b);
  return { change: ratio, low, high };
}

function judge({ low, high, relativeTo }: Change, better: Measure["better"]): Verdict {
  const drift = relativeTo === null ? DRIFT.alone : DRIFT.relative;
  // Growth of what should be little is bad, of what should be much is good.
  const [grew, shrank] =
    better === "less" ? (["regression", "improvement"] as const) : (["improvement", "regression"] as const);
  if (low > 1 + drift) return grew;
  if (high < 1 / (1 + drift)) return shrank;
  return "no change shown";
}

/** The comparison for a person: what is worse, what is better, and how much could not be told. */
export function formatComparison(compared: readonly Comparison[]): string {
  const of = (verdict: Verdict) => compared.filter((comparison) => comparison.verdict === verdict);
  const list = (title: string, found: readonly Comparison[]) =>
    found.length === 0 ? [] : [title, ...found.map((comparison) => `  ${formatLine(comparison)}`)];
  const drift = `a change counts beyond ${DRIFT.relative * 100} % relative to a peer, ${DRIFT.alone * 100} % where there is none`;
  const counts = `${compared.length} measures compared: ${of("regression").length} regressions, ${of("improvement").length} improvements, ${of("no change shown").length} without a change that can be shown, ${of("unsure").length} unsure (fewer than ${LEAST_TURNS} turns, or another machine and no peer); ${drift}`;
  return `${[...list("worse:", of("regression")), ...list("better:", of("improvement")), counts].join("\n")}\n`;
}

function formatLine({ measure, before, change, low, high, relativeTo }: Comparison): string {
  const values = `${before.median.toPrecision(3)} → ${measure.median.toPrecision(3)} ${measure.unit}`;
  const by = relativeTo === null ? "" : `, relative to ${relativeTo}`;
  return `${formatKey(measure)}: ×${change.toFixed(2)} (${low.toFixed(2)} … ${high.toFixed(2)}${by}), ${values}`;
}
