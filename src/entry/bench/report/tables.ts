import type { Measure, SuiteName } from "../measure.ts";
import { formatNumber, formatRatio, formatSpread, formatTable } from "./format.ts";

/** Which measures a table shows. */
export interface Selection {
  readonly suite: SuiteName;
  readonly metric: RegExp;
  readonly scenario?: RegExp;
}

/** The measures of a selection, in the order of the run. */
export function select(measures: readonly Measure[], { suite, metric, scenario }: Selection): Measure[] {
  return measures.filter(
    (measure) =>
      measure.suite === suite &&
      metric.test(measure.metric) &&
      (scenario === undefined || scenario.test(measure.scenario)),
  );
}

/** Values of one property in the order of their first appearance. */
export function distinct(measures: readonly Measure[], key: "scenario" | "metric" | "subject"): string[] {
  return [...new Set(measures.map((measure) => measure[key]))];
}

/**
 * A row for each measure: median, 95th percentile, interval, and the ratios to the references that the scenario has.
 * Empty text where the run has none of them.
 */
export function formatLong(measures: readonly Measure[]): string {
  const named = new Set(measures.flatMap(({ ratios }) => ratios.map(({ to }) => to)));
  const references = distinct(measures, "subject").filter((subject) => named.has(subject));
  const hasMetrics = distinct(measures, "metric").length > 1;
  const [first] = measures;
  if (first === undefined) return "";
  const head = [
    "scenario",
    ...(hasMetrics ? ["metric"] : []),
    "who",
    `median ${first.unit}`,
    "p95",
    "±%",
    ...references.map((to) => `× ${to}`),
    "turns",
  ];
  const rows = measures.map((measure) => [
    measure.scenario,
    ...(hasMetrics ? [measure.metric] : []),
    measure.subject,
    formatNumber(measure.median),
    formatNumber(measure.p95),
    formatSpread(measure),
    ...references.map((name) => {
      const ratio = measure.ratios.find(({ to }) => to === name);
      return ratio === undefined ? "" : formatRatio(ratio, measure);
    }),
    String(measure.turns),
  ]);
  return formatTable(head, rows, hasMetrics ? 3 : 2);
}

/**
 * A row for each scenario and metric, a column for each subject with its median; behind the first subject its 95th
 * percentile and interval, unless its value is given and was not measured, behind each other its ratio to the first.
 * Empty text where the run has none of them.
 */
export function formatPivot(measures: readonly Measure[], isGiven = false): string {
  const subjects = distinct(measures, "subject");
  const [first, ...others] = subjects;
  const [any] = measures;
  if (first === undefined || any === undefined) return "";
  const hasMetrics = distinct(measures, "metric").length > 1;
  const head = [
    "scenario",
    ...(hasMetrics ? ["metric"] : []),
    `${first} ${any.unit}`,
    ...(isGiven ? [] : ["p95", "±%"]),
    ...others.flatMap((subject) => [subject, `× ${first}`]),
  ];
  const rows = distinct(measures, "scenario").flatMap((scenario) =>
    distinct(
      measures.filter((measure) => measure.scenario === scenario),
      "metric",
    ).map((metric) => {
      const found = (subject: string) =>
        measures.find(
          (measure) =>
            measure.scenario === scenario && measure.metric === metric && measure.subject === subject,
        );
      const own = found(first);
      return [
        scenario,
        ...(hasMetrics ? [metric] : []),
        own === undefined ? "" : formatNumber(own.median),
        ...(isGiven ? [] : own === undefined ? ["", ""] : [formatNumber(own.p95), formatSpread(own)]),
        ...others.flatMap((subject) => {
          const other = found(subject);
          const ratio = other?.ratios.find(({ to }) => to === first);
          return [
            other === undefined ? "" : formatNumber(other.median),
            ratio === undefined || other === undefined ? "" : formatRatio(ratio, other),
          ];
        }),
      ];
    }),
  );
  return formatTable(head, rows, hasMetrics ? 2 : 1);
}
