import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import type { Measure } from "../../../../src/entry/bench/measure.ts";
import { LIMIT } from "../../../../src/entry/bench/network/limited.ts";
import { formatBars } from "../../../../src/entry/bench/report/bars.ts";
import { formatDocument, formatSummary } from "../../../../src/entry/bench/report/document.ts";
import { formatNumber } from "../../../../src/entry/bench/report/format.ts";
import { formatLines } from "../../../../src/entry/bench/report/lines.ts";
import { formatLong, formatPivot } from "../../../../src/entry/bench/report/tables.ts";
import { parseResults, type Results } from "../../../../src/entry/bench/results.ts";

const ROOT = `${import.meta.dir}/../../../..`;
const RESULTS = parseResults(readFileSync(`${ROOT}/bench/results.json`, "utf8"), "bench/results.json");

function measure(scenario: string, subject: string, value: number, rest: Partial<Measure> = {}): Measure {
  return {
    suite: "cni",
    scenario,
    metric: "ADD",
    subject,
    unit: "ms",
    better: "less",
    median: value,
    low: value * 0.98,
    high: value * 1.02,
    p95: value * 1.5,
    turns: 12,
    ratios: subject === "ours" ? [] : [{ to: "ours", ratio: value / 10, low: value / 11, high: value / 9 }],
    ...rest,
  };
}

const MEASURES = [
  measure("empty", "ours", 10),
  measure("empty", "peer", 31.25),
  measure("full", "ours", 12, { low: 6 }),
  measure("full", "peer", 1234.5),
];

describe("formatNumber", () => {
  test.each([
    [0, "0.00"],
    [0.012345, "0.012"],
    [0.5, "0.50"],
    [0.994, "0.99"],
    [0.9993, "1.00"],
    [1.005, "1.00"],
    [12.34, "12.3"],
    [123.4, "123"],
    [1234567.8, "1,234,568"],
    [Number.NaN, ""],
  ])("%d is %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});

describe("tables", () => {
  const cells = (table: string) =>
    table.split("\n").map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

  test("formatLong has a row for each measure, and marks what is not known to ± 5 %", () => {
    expect(cells(formatLong(MEASURES)).toSpliced(1, 1)).toEqual([
      ["scenario", "who", "median ms", "p95", "±%", "× ours", "turns"],
      ["empty", "ours", "10.0", "15.0", "2.00", "", "12"],
      ["empty", "peer", "31.3", "46.9", "2.00", "3.13× (2.84–3.47)", "12"],
      ["full", "ours", "12.0", "18.0", "26.0 ≈", "", "12"],
      ["full", "peer", "1,235", "1,852", "2.00", "123× (112–137)", "12"],
    ]);
  });

  test("formatPivot has a row for each scenario and a column for each subject", () => {
    expect(cells(formatPivot(MEASURES)).toSpliced(1, 1)).toEqual([
      ["scenario", "ours ms", "p95", "±%", "peer", "× ours"],
      ["empty", "10.0", "15.0", "2.00", "31.3", "3.13× (2.84–3.47)"],
      ["full", "12.0", "18.0", "26.0 ≈", "1,235", "123× (112–137)"],
    ]);
  });

  test("formatPivot leaves out how well a value is known that was given", () => {
    expect(cells(formatPivot(MEASURES.slice(0, 2), true)).toSpliced(1, 1)).toEqual([
      ["scenario", "ours ms", "peer", "× ours"],
      ["empty", "10.0", "31.3", "3.13× (2.84–3.47)"],
    ]);
  });

  test("columns are as wide as their cells, numbers to the right", () => {
    const lines = formatLong(MEASURES).split("\n");
    expect(new Set(lines.map(({ length }) => length)).size).toBe(1);
    expect(lines[1]).toMatch(/^\|-+\|-+\|-+:\|/);
  });

  test("of nothing are empty", () => {
    expect([formatLong([]), formatPivot([])]).toEqual(["", ""]);
  });
});

describe("pictures", () => {
  test("bars are as long as their values, from zero", () => {
    const widths = [...formatBars("t", MEASURES).matchAll(/<rect x="290" [^>]*width="([\d.]+)"/g)].map(
      ([, width]) => Number(width),
    );
    const [ten, thirty] = widths;
    expect(widths).toHaveLength(4);
    expect((thirty ?? 0) / (ten ?? 1)).toBeCloseTo(3.125, 1);
  });

  test("lines rise alike where values grow alike, on their logarithmic scale", () => {
    const series = (name: string, factor: number) => ({
      name,
      points: ["1", "2", "3"].map((x, index) => ({ x, y: factor * 10 ** index })),
    });
    const paths = [
      ...formatLines("t", "x", "ms", [series("a", 1), series("b", 50)]).matchAll(/points="([^"]+)"/g),
    ];
    const rises = paths.map(([, points = ""]) => {
      const [first, last] = [points.split(" ")[0], points.split(" ").at(-1)].map((point) =>
        Number(point?.split(",")[1]),
      );
      return Math.round((first ?? 0) - (last ?? 0));
    });
    expect(rises).toHaveLength(2);
    expect(rises[0]).toBe(rises[1] ?? 0);
    expect(rises[0]).toBeGreaterThan(0);
  });

  test("nothing gives no picture, and one point no division by zero", () => {
    expect([formatBars("t", []), formatLines("t", "x", "ms", [])]).toEqual(["", ""]);
    const one = [{ name: "a", points: [{ x: "1", y: 5 }] }];
    expect(formatLines("t", "x", "ms", one)).not.toContain("NaN");
  });

  test("names are text and no markup", () => {
    expect(formatBars("a < b & c", MEASURES)).toContain("a &lt; b &amp; c");
  });
});

describe("the page", () => {
  test("docs/ holds what bench/results.json gives, page and pictures, and no picture else", () => {
    const made = formatDocument(RESULTS);
    for (const [name, text] of Object.entries(made)) {
      expect([name, readFileSync(`${ROOT}/docs/${name}`, "utf8")]).toEqual([name, text]);
    }
    const there = readdirSync(`${ROOT}/docs`).filter((name) => /^benchmarks.*\.(svg|md)$/.test(name));
    expect(there.sort()).toEqual(Object.keys(made).sort());
  });

  test("the published results are of a whole run, of all suites; that the machine was busy at first is told", () => {
    const { isComplete, isQuick, marks, suites } = RESULTS;
    // The load is a mean over a minute: the build before a run is in it.
    const isOfStart = (mark: string) => /^busy: a load of [0-2]\.\d on 2 CPUs when the run began$/.test(mark);
    expect({ isComplete, isQuick, marks: marks.filter((mark) => !isOfStart(mark)), suites }).toEqual({
      isComplete: true,
      isQuick: false,
      marks: [],
      suites: ["alloc", "routes", "cni", "network"],
    });
    const page = formatDocument(RESULTS)["benchmarks.md"];
    for (const mark of marks) expect(page).toContain(mark);
  });

  test("every table and picture of the page has something in it", () => {
    expect(formatDocument(RESULTS)["benchmarks.md"]).not.toContain("(not in this run)");
  });

  test("has parts for runs that have something for them alone, and no mark of them", () => {
    const ratios = [{ to: "ip -batch", ratio: 0.5, low: 0.4, high: 0.6 }];
    const scenario = "5,000 routes, from none to all";
    const rest = { suite: "routes", metric: "programming", ratios } as const;
    const measures = [measure(scenario, "minicni agent, netlink", 20, rest)];
    const more = { ...RESULTS, measures: [...RESULTS.measures, ...measures] };
    const page = formatDocument(more)["benchmarks.md"] ?? "";
    expect(page).toContain("## Goals\n");
    expect(page).toContain("| routes to 5,000 peers, by netlink ");
    expect(page).toContain("Routes to 5,000 peers, IPv4, in a namespace");
    for (const text of [page, formatDocument({ ...RESULTS, measures: [] })["benchmarks.md"]]) {
      expect(text).not.toContain("{{");
    }
    expect(formatSummary(more)).toContain("routes to 5,000 peers, by netlink");
  });

  test("says of host ports and limits what a run's chains were", () => {
    const old = {
      ...RESULTS,
      measures: RESULTS.measures.filter(({ scenario }) => !/^(chain: portmap|limit)/.test(scenario)),
    };
    const theirs = "`portmap` and `bandwidth` are the reference's own programs in all chains";
    const before = formatDocument(old)["benchmarks.md"] ?? "";
    expect([before.includes(theirs), before.includes("## Limits of pods")]).toEqual([true, false]);
    const measures = [
      measure("chain: portmap + bandwidth", "minicni", 5),
      measure("limit of 1 Mbit/s", LIMIT, 1, { suite: "network", metric: "ingress", unit: "Mbit/s" }),
    ];
    const page = formatDocument({ ...old, measures: [...old.measures, ...measures] })["benchmarks.md"] ?? "";
    expect([page.includes(theirs), page.includes("one call of ours")]).toEqual([false, true]);
    expect(page).toMatch(/^\| limit of 1 Mbit\/s +\| +1\.00 \|$/m);
    // A list or a table that runs into what comes behind it would be no such thing any more.
    const runsOn = [before, page].map((text) => /[^\n]\n(?:## |\| scenario)/.exec(text)?.[0] ?? null);
    expect(runsOn).toEqual([null, null]);
  });

  test("of a partial run says so, and says where it has nothing", () => {
    const partial: Results = { ...RESULTS, marks: ["partial: interrupted by SIGINT"], measures: [] };
    const page = formatDocument(partial)["benchmarks.md"] ?? "";
    expect(page).toContain("**partial: interrupted by SIGINT**");
    expect(page).toContain("(not in this run)");
    expect(Object.keys(formatDocument(partial))).toEqual(["benchmarks.md"]);
    expect(formatSummary(partial)).toContain("**partial: interrupted by SIGINT**");
  });
});
