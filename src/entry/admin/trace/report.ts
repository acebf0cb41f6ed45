import * as v from "valibot";
import { median } from "../../bench/statistics.ts";
import { PROBE_VERBS } from "../probe-pod.ts";
import type { Span } from "./recorder.ts";
import { ALLOCATION_STEP } from "./steps.ts";

const RowSchema = v.object({
  step: v.string(),
  what: v.string(),
  /** How many calls of the machine these are. */
  calls: v.number(),
  startMs: v.number(),
  durationMs: v.number(),
});
/** Neighbouring spans of one step. */
export type Row = v.InferOutput<typeof RowSchema>;

const VerbSchema = v.object({
  verb: v.picklist(PROBE_VERBS),
  totalMs: v.number(),
  /** What no call of the machine took: our own code. */
  ownMs: v.number(),
  rows: v.array(RowSchema),
  /** The error document's message and details; null: it went well. */
  fault: v.nullable(v.string()),
});
/** One call of the plugin. */
export type TracedVerb = v.InferOutput<typeof VerbSchema>;

const ServedSchema = v.object({
  program: v.string(),
  socket: v.string(),
  verbs: v.array(
    v.object({ verb: v.picklist(PROBE_VERBS), wallMs: v.array(v.number()), fault: v.nullable(v.string()) }),
  ),
});
/** Calls of the program as a runtime makes them, with an agent that serves them. */
export type ServedCalls = v.InferOutput<typeof ServedSchema>;

/** What a run of `minicni trace` found; as its `--json` has it. Times in milliseconds. */
export const TraceReportSchema = v.object({
  minicni: v.string(),
  isSimulated: v.boolean(),
  /** The configuration that was used, and its network. */
  config: v.string(),
  network: v.string(),
  cniVersion: v.string(),
  /** Plugins of the list that were not run. */
  others: v.array(v.string()),
  containerId: v.string(),
  isEach: v.boolean(),
  runs: v.array(v.array(VerbSchema)),
  served: v.nullable(ServedSchema),
  /** Why no served call was timed although it was asked for. */
  notServed: v.nullable(v.string()),
});
export type TraceReport = v.InferOutput<typeof TraceReportSchema>;

/** One verb from what was taken down of it. */
export function describeVerb(
  verb: TracedVerb["verb"],
  { spans, totalMs }: { readonly spans: readonly Span[]; readonly totalMs: number },
  fault: string | null,
): TracedVerb {
  return { verb, totalMs, ownMs: Math.max(0, totalMs - coveredMs(spans)), rows: rowsOf(verb, spans), fault };
}

/** Neighbours of one step are one row, unless each says something of its own. */
function rowsOf(verb: TracedVerb["verb"], spans: readonly Span[]): Row[] {
  const rows: Row[] = [];
  let isOpen = false;
  for (const { step: name, what, isAlone, startMs, durationMs } of spans) {
    const step = verb === "DEL" && name === ALLOCATION_STEP ? "address given back" : name;
    const last = rows.at(-1);
    if (isOpen && !isAlone && last?.step === step) {
      last.calls += 1;
      last.durationMs += durationMs;
    } else rows.push({ step, what, calls: 1, startMs, durationMs });
    isOpen = !isAlone;
  }
  return rows;
}

/** How long at least one of them was under way: programs may run beside each other. */
function coveredMs(spans: readonly Span[]): number {
  let covered = 0;
  let end = 0;
  for (const { startMs, durationMs } of spans) {
    const until = startMs + durationMs;
    covered += Math.max(0, until - Math.max(startMs, end));
    end = Math.max(end, until);
  }
  return covered;
}

/** A step over several runs. */
export interface StepSpread {
  readonly step: string;
  /** Of how many calls a run has the most. */
  readonly calls: number;
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Of one verb over all runs: a run's rows of one step together, in the order in which they first come; a run without counts 0. */
export function spreadSteps(runs: TraceReport["runs"], verb: TracedVerb["verb"]): StepSpread[] {
  const traced = runs.flatMap((run) => run.filter((one) => one.verb === verb));
  const steps = [...new Set(traced.flatMap(({ rows }) => rows.map(labelOf)))];
  const sums = steps.map((step) => {
    const own = traced.map(({ rows }) => rows.filter((row) => labelOf(row) === step));
    const calls = Math.max(...own.map((rows) => rows.reduce((sum, row) => sum + row.calls, 0)));
    return { step, calls, ...spread(own.map((rows) => rows.reduce((sum, row) => sum + row.durationMs, 0))) };
  });
  return [...sums, { step: OWN_CODE, calls: 0, ...spread(traced.map(({ ownMs }) => ownMs)) }];
}

/** The row for what no call of the machine took. */
export const OWN_CODE = "minicni itself";

/** Programs are told apart: of a masquerade rule's, one may be slow. */
function labelOf({ step, what }: Row): string {
  const program = /^(ip6?tables\S*|nft|ip|bridge|tc) /.exec(what)?.[1];
  return program === undefined ? step : `${step}: ${program}`;
}

/** The least, the middle and the largest of some values; 0 of none. */
export function spread(values: readonly number[]): {
  readonly min: number;
  readonly median: number;
  readonly max: number;
} {
  if (values.length === 0) return { min: 0, median: 0, max: 0 };
  return { min: Math.min(...values), median: median(values), max: Math.max(...values) };
}
