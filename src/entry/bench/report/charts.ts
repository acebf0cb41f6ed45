import type { Measure } from "../measure.ts";
import { formatBars } from "./bars.ts";
import { formatLines, type Series } from "./lines.ts";
import { distinct, select } from "./tables.ts";

const FILL = /^\/16, ([\d.]+ %) full$/;
const PLUGIN_FILL = /^a \/16 range, ([\d.]+ %) full$/;
const BURST = /^burst of [\d,]+, ([\d,]+) at once$/;
const ROUTES = /^([\d,]+) routes, nothing changed$/;

/** Every picture of the report by its file name; of one that the run has nothing for the text is empty. */
export function formatCharts(measures: readonly Measure[]): Record<string, string> {
  const adds = select(measures, { suite: "cni", metric: /^ADD$/, scenario: /^(sequential|chain)/ });
  const dels = select(measures, { suite: "cni", metric: /^DEL$/, scenario: /^(sequential|chain)/ });
  const curve = (suite: Measure["suite"], metric: RegExp, scenario: RegExp) =>
    toSeries(select(measures, { suite, metric, scenario }), scenario);
  return {
    "benchmarks-add.svg": formatBars("ADD, milliseconds", adds),
    "benchmarks-del.svg": formatBars("DEL, milliseconds", dels),
    "benchmarks-fill.svg": formatLines(
      "ADD by how full a /16 range is",
      "addresses that are taken",
      "ms",
      curve("cni", /^ADD$/, PLUGIN_FILL),
    ),
    "benchmarks-alloc.svg": formatLines(
      "The next free address of a /16",
      "addresses that are taken",
      "ns",
      curve("alloc", /^next-fit$/, FILL),
    ),
    "benchmarks-burst.svg": formatLines(
      "A node's pods attached, all together",
      "calls at once",
      "ms",
      curve("cni", /^burst$/, BURST),
    ),
    "benchmarks-routes.svg": formatLines(
      "Route diff when nothing changed",
      "routes",
      "µs",
      curve("routes", /^diff$/, ROUTES),
    ),
  };
}

/** A line for each subject; its x are what the scenario's pattern picks out. */
function toSeries(measures: readonly Measure[], pattern: RegExp): Series[] {
  return distinct(measures, "subject").map((name) => ({
    name,
    points: measures
      .filter(({ subject }) => subject === name)
      .map(({ scenario, median }) => ({ x: pattern.exec(scenario)?.[1] ?? "", y: median })),
  }));
}
