import { describe, expect, test } from "bun:test";
import { isStable, type Measure } from "../../../../src/entry/bench/measure.ts";
import {
  batch,
  type Contestant,
  single,
  summarise,
  type Taken,
  type TurnLimits,
  takeTurns,
} from "../../../../src/entry/bench/turns.ts";

const never = () => false;
const LIMITS = { least: 2, most: 20, withinMs: 60_000 };

/** The turns that were taken. */
async function take(
  contestants: readonly Contestant[],
  limits: TurnLimits,
  isStopped: () => boolean,
): Promise<Taken> {
  let found: Taken = new Map();
  await takeTurns(contestants, limits, isStopped, (taken) => {
    found = taken;
  });
  return found;
}

/** One that takes the given times, the last one for ever, and writes down that it was its turn. */
function contestant(subject: string, times: readonly number[], order: string[] = []): Contestant {
  let turn = 0;
  return {
    subject,
    turn: () => {
      order.push(subject);
      const value = times[Math.min(turn++, times.length - 1)] ?? 0;
      return { ADD: single(value) };
    },
  };
}

describe("takeTurns", () => {
  test("lets contestants take turns, A B A B, until both are stable", async () => {
    const order: string[] = [];
    await take([contestant("A", [5], order), contestant("B", [7], order)], LIMITS, never);
    expect(order.join("")).toBe("AB".repeat(6));
  });

  test("goes on while one is unstable, up to the most", async () => {
    const wild = Array.from({ length: 20 }, (_, index) => 1 + index);
    const taken = await take([contestant("A", [5]), contestant("B", wild)], LIMITS, never);
    expect([...taken.values()].map((turns) => turns.length)).toEqual([20, 20]);
  });

  test("begins none once the time is over, but never fewer than the least", async () => {
    const taken = await take([contestant("A", [1, 9])], { ...LIMITS, least: 4, withinMs: 0 }, never);
    expect(taken.get("A")).toHaveLength(4);
  });

  test("looks at the named metrics alone", async () => {
    let turn = 0;
    const taken = await take(
      [{ subject: "A", turn: () => ({ ADD: single(1), "ADD CPU": single(++turn) }) }],
      { ...LIMITS, steady: ["ADD"] },
      never,
    );
    expect(taken.get("A")).toHaveLength(6);
  });

  test("keeps whole rounds alone when it is stopped", async () => {
    const order: string[] = [];
    const taken = await take(
      [contestant("A", [1, 2], order), contestant("B", [1, 2], order)],
      LIMITS,
      () => order.length === 5,
    );
    expect([...taken.values()].map((turns) => turns.length)).toEqual([2, 2]);
  });

  test("throws what a turn throws", async () => {
    const broken = { subject: "A", turn: () => Promise.reject(new Error("no such plugin")) };
    await expect(take([broken], LIMITS, never)).rejects.toThrow("no such plugin");
  });

  test("gives what there is of whole rounds before it throws", async () => {
    let turn = 0;
    const breaking: Contestant = {
      subject: "B",
      turn: () => {
        if (++turn === 3) throw new Error("cut off");
        return { ADD: single(turn) };
      },
    };
    const kept: Taken[] = [];
    const work = takeTurns(
      [contestant("A", [1, 2]), breaking],
      LIMITS,
      never,
      (taken) => void kept.push(taken),
    );
    await expect(work).rejects.toThrow("cut off");
    expect(kept.map((taken) => [...taken.values()].map((turns) => turns.length))).toEqual([[2, 2]]);
  });

  test("gives nothing when there is no round", async () => {
    const use = () => expect.unreachable();
    await takeTurns([contestant("A", [1])], LIMITS, () => true, use);
    const broken = { subject: "A", turn: () => Promise.reject(new Error("no such plugin")) };
    await expect(takeTurns([broken], LIMITS, never, use)).rejects.toThrow("no such plugin");
  });
});

describe("summarise", () => {
  const key = { suite: "cni", scenario: "sequential" } as const;
  const find = (measures: readonly Measure[], subject: string, metric = "ADD") =>
    measures.find((measure) => measure.subject === subject && measure.metric === metric);

  test("gives each subject's median, interval and percentile, and ratios to the references", async () => {
    const times = [10, 12, 11, 13, 9, 10];
    const taken = await take(
      [
        contestant("ours", times),
        contestant(
          "peer",
          times.map((time) => time * 3),
        ),
        contestant("floor", [1]),
      ],
      { least: 6, most: 6, withinMs: 0 },
      never,
    );
    const measures = summarise(key, taken, { units: { ADD: "ms" }, references: ["ours", "floor"] });
    expect(find(measures, "peer")).toEqual({
      ...key,
      metric: "ADD",
      subject: "peer",
      unit: "ms",
      better: "less",
      median: 31.5,
      low: 27,
      high: 39,
      p95: 38.25,
      turns: 6,
      ratios: [
        { to: "ours", ratio: 3, low: 3, high: 3 },
        expect.objectContaining({ to: "floor", ratio: 31.5 }),
      ],
    });
    expect(find(measures, "ours")?.ratios.map(({ to }) => to)).toEqual(["floor"]);
    expect(find(measures, "floor")?.ratios.map(({ to }) => to)).toEqual(["ours"]);
  });

  test("takes batches' percentiles for what they are", () => {
    const turns = [batch([1, 2, 3]), batch([1, 2, 30])].map((ADD) => ({ ADD }));
    const [measure] = summarise(key, new Map([["ours", turns]]), { units: { ADD: "ms" }, references: [] });
    expect([measure?.median, measure?.p95]).toEqual([2, (2.9 + 27.2) / 2]);
  });

  test("leaves out what nobody measured, and knows what is better in more", () => {
    const turns = [{ throughput: single(5) }];
    const measures = summarise(
      key,
      new Map([
        ["ours", turns],
        ["peer", []],
      ]),
      {
        units: { throughput: "Mbit/s", ADD: "ms" },
        more: ["throughput"],
        references: [],
      },
    );
    expect(measures.map(({ metric, subject, better }) => [metric, subject, better])).toEqual([
      ["throughput", "ours", "more"],
    ]);
  });
});

describe("isStable", () => {
  test.each([
    ["± 5 %", { median: 100, low: 95, high: 105, turns: 6 }, true],
    ["± 6 %", { median: 100, low: 94, high: 106, turns: 60 }, false],
    ["five turns, which have no interval", { median: 100, low: 100, high: 100, turns: 5 }, false],
  ])("%s", (_what, measure, wanted) => {
    expect(isStable(measure)).toBe(wanted);
  });
});
