import {
  FLOOR,
  type Interval,
  LEAST_TURNS,
  type Measure,
  SERVED,
  STANDALONE,
  type SuiteName,
} from "../measure.ts";
import { BESIDE_SCENARIO, LIMIT, LIMIT_METRICS, NOBODY, PAIR_METRIC } from "../network/limited.ts";
import { PROGRAMMING_SUBJECTS } from "../routes/programmer-names.ts";
import { quotientInterval } from "../statistics.ts";
import { formatRatio, formatTable } from "./format.ts";

/** What one of our figures shall be, as a multiple of another one of the same run. */
export interface Goal {
  readonly figure: string;
  readonly suite: SuiteName;
  readonly scenario: RegExp;
  readonly metric: string;
  readonly subject: string;
  /** Whose figure it is measured by, of those that took turns with it; or the subject's own in another scenario. */
  readonly by: { readonly subject: RegExp } | { readonly scenario: RegExp };
  /** The ratio that it shall not exceed. */
  readonly most: number;
  /** The ratio that it shall not be below. Of several scenarios that one counts whose ratio is farthest from 1. */
  readonly least?: number;
}

/** The system's own plugins come before newer ones. */
const PEER = { subject: /^bridge \+ host-local / };
const IP_BATCH = { subject: new RegExp(`^${PROGRAMMING_SUBJECTS["ip-batch"]}$`) };
const SEQUENTIAL = /^sequential, empty node$/;
/** All pods at once, be it 110 or the few of a quick run. */
const BURST = /^burst of (\d+), \1 at once$/;
const ROUTES = /^[\d,]+ routes, from none to all$/;
const served = { suite: "cni", subject: SERVED, by: PEER } as const;

const PORTS = /^chain: portmap \+ bandwidth$/;
const PORTS_AMONG = /^chain: portmap \+ bandwidth, \d+ pods hold ports$/;
/** Any rate, where runtimes ask for a limit as they do: without a burst. */
const LIMITS = /^limit of \d+ [MG]bit\/s(, IPv6)?$/;
const EXACT = { suite: "network", subject: SERVED, least: 0.9, most: 1.1 } as const;
const BY_LIMIT = { subject: new RegExp(`^${LIMIT}$`) };

const BY_FLOOR = { subject: new RegExp(`^${FLOOR}$`) };

export const GOALS: readonly Goal[] = [
  { ...served, figure: "ADD, served", scenario: SEQUENTIAL, metric: "ADD", most: 0.12 },
  {
    ...served,
    figure: "ADD, served, to the floor",
    scenario: SEQUENTIAL,
    metric: "ADD",
    by: BY_FLOOR,
    most: 2,
  },
  { ...served, figure: "ADD with ipMasq, served", scenario: /^chain: ipMasq$/, metric: "ADD", most: 0.05 },
  {
    ...served,
    figure: "ADD, standalone",
    subject: STANDALONE,
    scenario: SEQUENTIAL,
    metric: "ADD",
    most: 0.65,
  },
  { ...served, figure: "DEL, served", scenario: SEQUENTIAL, metric: "DEL", most: 0.5 },
  { ...served, figure: "all pods attached at once, time", scenario: BURST, metric: "burst", most: 0.12 },
  {
    ...served,
    figure: "all pods attached at once, processor time",
    scenario: BURST,
    metric: "burst CPU",
    most: 0.15,
  },
  {
    ...served,
    figure: "all pods attached at once, memory of all processes",
    scenario: BURST,
    metric: "burst peak memory, all processes",
    most: 0.2,
  },
  { ...served, figure: "all pods detached at once, time", scenario: BURST, metric: "drain", most: 0.05 },
  {
    ...served,
    figure: "ADD, served, in a /16 that is 99.9 % full, to theirs there",
    scenario: /^a \/16 range, 99\.9 % full$/,
    metric: "ADD",
    most: 0.02,
  },
  {
    ...served,
    figure: "ADD, served, in a /16 that is 99.9 % full, to an empty one",
    scenario: /^a \/16 range, 99\.9 % full$/,
    metric: "ADD",
    by: { scenario: /^a \/16 range, 0 % full$/ },
    most: 1.1,
  },
  { ...served, figure: "ADD with host port and limits, served", scenario: PORTS, metric: "ADD", most: 0.12 },
  { ...served, figure: "DEL with host port and limits, served", scenario: PORTS, metric: "DEL", most: 0.15 },
  {
    ...served,
    figure: "ADD with host port and limits, served, where others hold ports, to none",
    scenario: PORTS_AMONG,
    metric: "ADD",
    by: { scenario: PORTS },
    most: 1.3,
  },
  {
    ...served,
    figure: "DEL with host port and limits, served, where others hold ports, to none",
    scenario: PORTS_AMONG,
    metric: "DEL",
    by: { scenario: PORTS },
    most: 1.3,
  },
  {
    ...EXACT,
    figure: "what a pod with a limit receives, at the least exact rate",
    scenario: LIMITS,
    metric: LIMIT_METRICS.ingress,
    by: BY_LIMIT,
  },
  {
    ...EXACT,
    figure: "what a pod with a limit sends, at the least exact rate",
    scenario: LIMITS,
    metric: LIMIT_METRICS.egress,
    by: BY_LIMIT,
  },
  {
    ...EXACT,
    figure: "throughput of unlimited pods beside limited ones",
    scenario: new RegExp(`^${BESIDE_SCENARIO}$`),
    metric: PAIR_METRIC,
    by: { subject: new RegExp(`^${NOBODY}$`) },
  },
  {
    figure: "routes to 5,000 peers, by netlink",
    suite: "routes",
    scenario: ROUTES,
    metric: "programming",
    subject: PROGRAMMING_SUBJECTS.netlink,
    by: IP_BATCH,
    most: 0.1,
  },
  {
    figure: "routes to 5,000 peers, the agent's whole pass",
    suite: "routes",
    scenario: ROUTES,
    metric: "programming",
    subject: PROGRAMMING_SUBJECTS.pass,
    by: IP_BATCH,
    most: 0.1,
  },
];

/** A goal beside what a run found. "likely": the median is within, but not all of its interval, if it has one. */
export interface Finding extends Interval {
  readonly goal: Goal;
  readonly measure: Measure;
  /** By whom, or in which scenario, it was measured. */
  readonly by: string;
  readonly ratio: number;
  readonly verdict: "yes" | "likely" | "no";
}

/**
 * What a run says of the goals, in their order; of those that it measured. Results that know no standalone binary by
 * name are from before agents served calls, and say nothing of them.
 */
export function judgeGoals(measures: readonly Measure[], goals: readonly Goal[] = GOALS): Finding[] {
  const isServed = measures.some(({ subject }) => subject === STANDALONE);
  return goals.flatMap((goal): Finding[] => {
    if (goal.suite === "cni" && !isServed) return [];
    const related = find(measures, goal, goal.scenario).flatMap((measure) => {
      const found = relate(measures, goal, measure);
      return found === null ? [] : [{ measure, ...found }];
    });
    const [found] = goal.least === undefined ? related : related.toSorted(byDistance);
    return found === undefined ? [] : [{ goal, ...found, verdict: judge(goal, found) }];
  });
}

/** The one farthest from 1 first. */
function byDistance(a: { readonly ratio: number }, b: { readonly ratio: number }): number {
  const distance = ({ ratio }: { readonly ratio: number }) => Math.abs(Math.log(ratio));
  return distance(b) - distance(a);
}

function judge({ least = 0, most }: Goal, found: Pick<Finding, "measure" | "ratio" | "low" | "high">) {
  const { measure, ratio, low, high } = found;
  if (ratio > most || ratio < least) return "no";
  return low >= least && high <= most && measure.turns >= LEAST_TURNS ? "yes" : "likely";
}

function find(measures: readonly Measure[], goal: Goal, scenario: RegExp): Measure[] {
  return measures.filter(
    (measure) =>
      measure.suite === goal.suite &&
      measure.metric === goal.metric &&
      measure.subject === goal.subject &&
      scenario.test(measure.scenario),
  );
}

function relate(
  measures: readonly Measure[],
  goal: Goal,
  measure: Measure,
): (Interval & { readonly by: string; readonly ratio: number }) | null {
  if ("scenario" in goal.by) {
    const [other] = find(measures, goal, goal.by.scenario);
    return other === undefined ? null : { by: other.scenario, ...quotientInterval(measure, other) };
  }
  const { subject } = goal.by;
  const found = measure.ratios.find(({ to }) => subject.test(to));
  if (found === undefined) return null;
  const { to, ratio, low, high } = found;
  // Of a limit the scenario tells which one.
  return { by: to === LIMIT ? measure.scenario : to, ratio, low, high };
}

/** The table of goals in Markdown; empty text when the run says nothing of any. */
export function formatGoals(measures: readonly Measure[]): string {
  const findings = judgeGoals(measures);
  if (findings.length === 0) return "";
  const rows = findings.map(({ goal, measure, by, verdict, ...ratio }) => {
    const floor = measure.ratios.find(({ to }) => to === FLOOR);
    return [
      goal.figure,
      by,
      verdict,
      goal.least === undefined ? `≤ ${goal.most}×` : `${goal.least}–${goal.most}×`,
      formatRatio(ratio, measure),
      floor === undefined ? "" : formatRatio(floor, measure),
    ];
  });
  return formatTable(["figure", "measured by", "met", "goal", "measured", "× floor"], rows, 3);
}
