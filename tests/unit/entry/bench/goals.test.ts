import { describe, expect, test } from "bun:test";
import { type Measure, SERVED, STANDALONE } from "../../../../src/entry/bench/measure.ts";
import { LIMIT, LIMIT_METRICS } from "../../../../src/entry/bench/network/limited.ts";
import { formatGoals, GOALS, judgeGoals } from "../../../../src/entry/bench/report/goals.ts";

const PEER = "bridge + host-local 1.1.1";

function measure(rest: Partial<Measure>): Measure {
  return {
    suite: "cni",
    scenario: "sequential, empty node",
    metric: "ADD",
    subject: SERVED,
    unit: "ms",
    better: "less",
    median: 4,
    low: 3.9,
    high: 4.1,
    p95: 5,
    turns: 12,
    ratios: [],
    ...rest,
  };
}

const to = (subject: string, ratio: number, part = 0.1) => ({
  to: subject,
  ratio,
  low: ratio * (1 - part),
  high: ratio * (1 + part),
});
const others = [measure({ subject: STANDALONE })];
/** Those of the figure that it is about; a floor in a measure's ratios would be judged as well. */
const verdicts = (measures: readonly Measure[]) =>
  judgeGoals([...measures, ...others])
    .filter(({ by }) => by !== "floor")
    .map(({ goal, verdict, by }) => [goal.figure, by, verdict]);

describe("judgeGoals", () => {
  test.each([
    [0.1, "yes"],
    [0.115, "likely"],
    [0.12, "likely"],
    [0.121, "no"],
  ])("%d times the peer's: %s", (ratio, verdict) => {
    const measures = [measure({ ratios: [to("floor", 3), to(PEER, ratio)] })];
    expect(verdicts(measures)).toEqual([["ADD, served", PEER, verdict]]);
  });

  test("is not sure of what has too few turns for an interval", () => {
    const measures = [measure({ turns: 5, ratios: [to(PEER, 0.1)] })];
    expect(verdicts(measures)).toEqual([["ADD, served", PEER, "likely"]]);
  });

  test("goes by the system's plugins where newer ones are there as well", () => {
    const ratios = [to(PEER, 0.1), to("bridge + host-local 1.9.1", 2)];
    expect(verdicts([measure({ ratios })])).toEqual([["ADD, served", PEER, "yes"]]);
  });

  test("takes the burst of all pods, not one with fewer at once", () => {
    const burst = (scenario: string, ratio: number) =>
      measure({ scenario, metric: "burst", ratios: [to(PEER, ratio)] });
    const measures = [burst("burst of 110, 10 at once", 5), burst("burst of 110, 110 at once", 0.1)];
    expect(verdicts(measures)).toEqual([["all pods attached at once, time", PEER, "yes"]]);
  });

  test("takes a full range beside the subject's own empty one", () => {
    const full = measure({
      scenario: "a /16 range, 99.9 % full",
      median: 4.2,
      low: 4.19,
      high: 4.21,
      ratios: [to(PEER, 0.01)],
    });
    const empty = measure({ scenario: "a /16 range, 0 % full", low: 3.99, high: 4.01 });
    const found = judgeGoals([empty, full, ...others]).find(({ by }) => by.startsWith("a /16"));
    expect([found?.by, found?.verdict]).toEqual(["a /16 range, 0 % full", "yes"]);
    expect(found?.ratio).toBeCloseTo(1.05);
  });

  test("takes host ports beside others' beside those on an empty node", () => {
    const scenario = "chain: portmap + bandwidth";
    const one = measure({ scenario, ratios: [to(PEER, 0.1)], low: 3.99, high: 4.01 });
    const among = measure({
      scenario: `${scenario}, 100 pods hold ports`,
      median: 5.6,
      low: 5.59,
      high: 5.61,
    });
    expect(verdicts([one, among])).toEqual([
      ["ADD with host port and limits, served", PEER, "yes"],
      ["ADD with host port and limits, served, where others hold ports, to none", scenario, "no"],
    ]);
  });

  describe("of limits", () => {
    const limited = (scenario: string, ratio: number, rest: Partial<Measure> = {}) =>
      measure({
        suite: "network",
        metric: LIMIT_METRICS.ingress,
        scenario,
        ratios: [to(LIMIT, ratio, 0.01)],
        ...rest,
      });

    test.each([
      ["yes", [0.95, 0.96], "limit of 1 Mbit/s"],
      ["yes", [1, 0.92], "limit of 1 Gbit/s"],
      ["yes", [1.05, 1], "limit of 1 Mbit/s"],
      ["likely", [0.905, 1], "limit of 1 Mbit/s"],
      ["likely", [1, 1.095], "limit of 1 Gbit/s"],
      ["no", [0.8, 0.96], "limit of 1 Mbit/s"],
      ["no", [1, 1.2], "limit of 1 Gbit/s"],
    ] as const)("%s: goes by the least exact one of %j", (verdict, [slow, fast], by) => {
      const measures = [limited("limit of 1 Mbit/s", slow), limited("limit of 1 Gbit/s", fast)];
      expect(verdicts(measures)).toEqual([
        ["what a pod with a limit receives, at the least exact rate", by, verdict],
      ]);
    });

    test("leaves a burst that was chosen, and others, out", () => {
      const scenario = "limit of 10 Mbit/s, burst of 0.1 s";
      const theirs = limited("limit of 10 Mbit/s", 90, { subject: "bandwidth 1.1.1" });
      expect(verdicts([limited(scenario, 2), theirs])).toEqual([]);
    });

    test("shows both ends of what is wanted", () => {
      expect(formatGoals([limited("limit of 1 Mbit/s", 0.95)])).toContain(
        "| yes | 0.9–1.1× | 0.95× (0.94–0.96) |",
      );
    });
  });

  test("says nothing of what was not measured, nor of runs from before agents served calls", () => {
    expect(verdicts([measure({})])).toEqual([]);
    expect(judgeGoals([measure({ ratios: [to(PEER, 2)] })])).toEqual([]);
    expect([judgeGoals([]), formatGoals([])]).toEqual([[], ""]);
  });

  test("each goal has a figure of its own", () => {
    expect(new Set(GOALS.map(({ figure }) => figure)).size).toBe(GOALS.length);
  });
});

test("formatGoals shows goal, ratio with its interval, and the distance from the floor", () => {
  const measures = [measure({ ratios: [to(PEER, 0.1), to("floor", 3)] }), ...others];
  const cells = formatGoals(measures)
    .split("\n")
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(cells.toSpliced(1, 1)).toEqual([
    ["figure", "measured by", "met", "goal", "measured", "× floor"],
    ["ADD, served", PEER, "yes", "≤ 0.12×", "0.10× (0.090–0.11)", "3.00× (2.70–3.30)"],
    ["ADD, served, to the floor", "floor", "no", "≤ 2×", "3.00× (2.70–3.30)", "3.00× (2.70–3.30)"],
  ]);
});
