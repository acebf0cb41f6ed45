import { describe, expect, test } from "bun:test";
import { compareResults, formatComparison } from "../../../../src/entry/bench/compare.ts";
import type { Measure } from "../../../../src/entry/bench/measure.ts";
import { formatResults, parseResults, type Results } from "../../../../src/entry/bench/results.ts";

/** A measure known to ± 1 %. */
function measure(subject: string, value: number, rest: Partial<Measure> = {}): Measure {
  return {
    suite: "cni",
    scenario: "sequential, empty node",
    metric: "ADD",
    subject,
    unit: "ms",
    better: "less",
    median: value,
    low: value * 0.99,
    high: value * 1.01,
    p95: value * 1.2,
    turns: 30,
    ratios: [],
    ...rest,
  };
}

const ratio = (to: string, value: number, part = 0.01) => ({
  to,
  ratio: value,
  low: value * (1 - part),
  high: value * (1 + part),
});

function results(measures: readonly Measure[], machine: Partial<Results["machine"]> = {}): Results {
  return {
    format: 1,
    began: "2026-01-02T03:04:05.000Z",
    ended: "2026-01-02T03:24:05.000Z",
    machine: {
      cpu: "A",
      cpus: 2,
      memoryMiB: 4096,
      hypervisor: null,
      distribution: "Debian",
      kernel: "6.1",
      architecture: "x64",
      ...machine,
    },
    versions: { bun: "1" },
    suites: ["cni"],
    isQuick: false,
    isComplete: true,
    marks: [],
    notes: [],
    measures,
  };
}

const verdicts = (now: Results, before: Results) =>
  compareResults(now, before).map(({ verdict, relativeTo }) => [verdict, relativeTo]);

describe("compareResults", () => {
  test.each([
    [14, "regression"],
    [13, "no change shown"],
    [10, "no change shown"],
    [8, "no change shown"],
    [7, "improvement"],
  ] as const)("calls 10 ms that became %d ms: %s", (value, verdict) => {
    const compared = compareResults(results([measure("minicni", value)]), results([measure("minicni", 10)]));
    expect(compared.map((comparison) => comparison.verdict)).toEqual([verdict]);
  });

  test("takes the binary alone for what it was called before agents served calls, and served calls for something new", () => {
    const before = results([measure("minicni", 10), measure("floor", 1)]);
    const now = results([measure("minicni", 3), measure("minicni standalone", 20), measure("floor", 1)]);
    const compared = compareResults(now, before);
    expect(
      compared.map(({ measure: { subject }, before: other, verdict }) => [subject, other.subject, verdict]),
    ).toEqual([["minicni standalone", "minicni", "regression"]]);
    // From then on each by its own name.
    expect(compareResults(now, now).map(({ verdict }) => verdict)).toEqual([
      "no change shown",
      "no change shown",
    ]);
  });

  test("takes more for better where it is", () => {
    const more = (value: number) => results([measure("minicni", value, { better: "more" })]);
    expect(verdicts(more(7), more(10))).toEqual([["regression", null]]);
    expect(verdicts(more(14), more(10))).toEqual([["improvement", null]]);
  });

  test("does not call a machine that became slower a regression, since its peer became so too", () => {
    const run = (slowness: number, ours: number) =>
      results([
        measure("minicni", ours * slowness),
        measure("bridge 1.1", 30 * slowness, { ratios: [ratio("minicni", 30 / ours)] }),
      ]);
    expect(verdicts(run(2, 10), run(1, 10))).toEqual([["no change shown", "bridge 1.1"]]);
    expect(verdicts(run(1, 12), run(2, 10))).toEqual([["regression", "bridge 1.1"]]);
    // More than two runs of one binary differ by, and less: with a peer less has to be believed.
    expect(verdicts(run(1, 11.3), run(1, 10))).toEqual([["no change shown", "bridge 1.1"]]);
  });

  test("finds the ratio on whichever side the run has it, and takes the floor last", () => {
    const run = (ours: number) =>
      results([
        measure("minicni", ours, { ratios: [ratio("floor", ours), ratio("plain", ours / 5)] }),
        measure("floor", 1),
        measure("plain", 5),
      ]);
    expect(verdicts(run(12), run(10))).toEqual([["regression", "plain"]]);
  });

  test("is unsure on another machine without a peer, and of few turns", () => {
    const [now, before] = [results([measure("minicni", 20)]), results([measure("minicni", 10)])];
    expect(verdicts({ ...now, machine: { ...now.machine, cpu: "B" } }, before)).toEqual([["unsure", null]]);
    const few = results([measure("minicni", 20, { turns: 3 })]);
    expect(verdicts(few, before)).toEqual([["unsure", null]]);
  });

  test("a wide interval shows nothing", () => {
    const wide = measure("minicni", 12, { low: 8, high: 18 });
    expect(verdicts(results([wide]), results([measure("minicni", 10)]))).toEqual([["no change shown", null]]);
  });

  test("leaves out what one run alone has, and what is not ours", () => {
    const now = results([measure("minicni", 1, { metric: "DEL" }), measure("bridge 1.1", 9)]);
    expect(compareResults(now, results([measure("minicni", 1), measure("bridge 1.1", 1)]))).toEqual([]);
  });
});

test("formatComparison tells what is worse first, with interval and peer", () => {
  const run = (ours: number, del: number) =>
    results([
      measure("minicni", ours),
      measure("bridge 1.1", 30, { ratios: [ratio("minicni", 30 / ours, 0.02)] }),
      measure("minicni", del, { metric: "DEL" }),
    ]);
  expect(formatComparison(compareResults(run(12, 5), run(10, 10)))).toBe(
    [
      "worse:",
      "  cni | sequential, empty node | ADD | minicni: ×1.20 (1.17 … 1.23, relative to bridge 1.1), 10.0 → 12.0 ms",
      "better:",
      "  cni | sequential, empty node | DEL | minicni: ×0.50 (0.49 … 0.51), 10.0 → 5.00 ms",
      "2 measures compared: 1 regressions, 1 improvements, 0 without a change that can be shown, 0 unsure (fewer than 6 turns, or another machine and no peer); a change counts beyond 15 % relative to a peer, 35 % where there is none",
      "",
    ].join("\n"),
  );
});

describe("results", () => {
  test("are read as they were written, each measure on its line", () => {
    const written = results([
      measure("minicni", 100),
      measure("floor", 1, { ratios: [ratio("minicni", 0.5)] }),
    ]);
    const text = formatResults(written);
    expect(parseResults(text, "r.json")).toEqual(written);
    expect(text.split("\n").filter((line) => line.includes('"subject"'))).toHaveLength(2);
    expect(parseResults(formatResults(results([])), "r.json").measures).toEqual([]);
  });

  test.each([
    ["no JSON", "x", "r.json is no JSON"],
    ["an empty document", "{}", "r.json holds no results: format: "],
    ["another format", '{"format": 2}', "r.json holds no results: format: "],
    ["a list", "[]", "r.json holds no results"],
    [
      "a measure without a number",
      formatResults(results([measure("minicni", 1)])).replace('"median":1', '"median":null'),
      "r.json holds no results: measures.0.median: ",
    ],
  ])("are refused when the file is %s", (_what, text, message) => {
    expect(() => parseResults(text, "r.json")).toThrow(message);
  });
});
