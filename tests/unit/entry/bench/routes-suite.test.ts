import { describe, expect, spyOn, test } from "bun:test";
import type { Context } from "../../../../src/entry/bench/context.ts";
import { formatKey, type Measure } from "../../../../src/entry/bench/measure.ts";
import { runColdRoutes } from "../../../../src/entry/bench/routes/cold.ts";
import { measureCold } from "../../../../src/entry/bench/routes/cold-turns.ts";
import type { EngineName } from "../../../../src/entry/bench/routes/engines.ts";
import { readingsOf } from "../../../../src/entry/bench/routes/kernel.ts";
import { nameNodes, nameRoutes, nodesOf } from "../../../../src/entry/bench/routes/scenario.ts";
import { createRoutesSuite, type RoutesOptions } from "../../../../src/entry/bench/routes/suite.ts";
import { runWarmRoutes, takeWarmTurn } from "../../../../src/entry/bench/routes/warm-turn.ts";
import { HostError } from "../../../../src/host/errors.ts";
import type { SpawnRequest } from "../../../../src/host/machine.ts";
import { FAMILIES } from "../../../../src/net/address.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

/** A turn of each, as short as can be; a child is a call in this process. */
function createContext(overrides: Partial<Context> = {}) {
  const kept: Measure[] = [];
  const notes: string[] = [];
  const told: string[] = [];
  const spawned: string[] = [];
  const host = {
    ...createFakeMachine("/nonexistent"),
    spawn: async ({ argv, stdin = "" }: SpawnRequest) => {
      if (argv.includes("warm-routes")) {
        return { exitCode: 0, stdout: await runWarmRoutes(stdin), stderr: "", timedOut: false };
      }
      spawned.push(argv.join(" "));
      const [engine, routes] = [argv[argv.indexOf("--engine") + 1], argv[argv.indexOf("--routes") + 1]];
      const stdout = await runColdRoutes(engine as EngineName, Math.min(40, Number(routes)));
      return { exitCode: 0, stdout, stderr: "", timedOut: false };
    },
  };
  const context: Context = {
    host,
    cleaner: host,
    self: ["/bin/minicni"],
    effort: { isQuick: false, least: 1, most: 1, scenarioMs: 0, turnMs: 0.1 },
    peers: [],
    tell: (text) => void told.push(text),
    keep: (measures) => void kept.push(...measures),
    note: (text) => void notes.push(text),
    isStopped: () => false,
    ...overrides,
  };
  return { context, kept, notes, told, spawned };
}

const SMALL: RoutesOptions = { nodes: [3], families: FAMILIES, kernel: false };

describe("the routes suite", () => {
  test("measures the three engines in each case, parsing apart and included, and in fresh processes", async () => {
    const { context, kept, spawned } = createContext();
    await createRoutesSuite(SMALL)(context);
    const keys = kept.map(({ scenario, metric, unit }) => `${scenario}: ${metric} (${unit})`);
    const withParsing = (scenario: string) => [
      `${scenario}: diff (µs)`,
      `${scenario}: parse (µs)`,
      `${scenario}: parse + diff (µs)`,
    ];
    expect([...new Set(keys)]).toEqual([
      ...withParsing("4 routes, nothing changed"),
      "4 routes, one node changed: diff (µs)",
      ...withParsing("4 routes, 1 % changed"),
      ...withParsing("4 routes, all changed"),
      "4 routes, first programming: diff (µs)",
      "4 routes, nodes read: NodeList parsed and packed (ms)",
      ...["1,000 routes, fresh process", "10,000 routes, fresh process"].flatMap((scenario) => [
        `${scenario}: first diff (ms)`,
        `${scenario}: whole process (ms)`,
      ]),
    ]);
    for (const metric of ["diff", "parse + diff", "first diff", "whole process"]) {
      const subjects = kept.filter((measure) => measure.metric === metric).map(({ subject }) => subject);
      expect([...new Set(subjects)]).toEqual(["WASM", "typed arrays", "Map of strings"]);
    }
    expect(kept.every(({ median, better }) => median >= 0 && better === "less")).toBe(true);
    expect(new Set(kept.map(formatKey)).size).toBe(kept.length);
    expect(spawned).toEqual(
      [1_000, 10_000].flatMap((routes) =>
        ["wasm", "twin", "map"].map(
          (engine) => `/bin/minicni bench cold-routes --engine ${engine} --routes ${routes}`,
        ),
      ),
    );
  }, 30_000);

  test("tells by how many times the others take what WASM takes", async () => {
    const { context, kept } = createContext();
    await createRoutesSuite(SMALL)(context);
    const ratios = kept.map(
      ({ metric, subject, ratios: all }) => `${metric}, ${subject}: ${all.map(({ to }) => to)}`,
    );
    expect(ratios).toContain("diff, typed arrays: WASM");
    expect(ratios).toContain("parse + diff, Map of strings: WASM");
    expect(ratios).toContain("first diff, typed arrays: WASM");
    expect(ratios).toContain("diff, WASM: ");
    expect(ratios).toContain("parse, minicni: ");
  }, 30_000);

  test("leaves whole passes out where it is not root, and says so", async () => {
    const getuid = spyOn(process, "getuid").mockReturnValue(1000);
    try {
      const { context, kept, notes } = createContext();
      await createRoutesSuite({ ...SMALL, kernel: true })(context);
      expect(notes).toEqual(["Whole passes and agents were left out: they need root."]);
      expect(kept.filter(({ scenario }) => scenario.includes("nodes,"))).toEqual([]);
    } finally {
      getuid.mockRestore();
    }
  }, 30_000);

  test("begins nothing once it was stopped", async () => {
    const { context, kept, told, spawned } = createContext({ isStopped: () => true });
    await createRoutesSuite({ ...SMALL, kernel: true })(context);
    expect([kept, told, spawned]).toEqual([[], [], []]);
  });

  test("fails when a fresh process does, and says which", async () => {
    const { context } = createContext();
    const spawn = async () => ({ exitCode: 1, stdout: "", stderr: "no memory\n", timedOut: false });
    const broken = { ...context, host: { ...context.host, spawn } };
    const failure = await measureCold(broken, 1_000).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(HostError);
    expect(String(failure)).toContain(
      "`/bin/minicni bench cold-routes --engine wasm --routes 1000` failed: no memory",
    );
  });
});

describe("takeWarmTurn", () => {
  const task = { what: "wasm", nodes: 3, families: FAMILIES, name: "1 % changed", turnMs: 0.1 } as const;

  test("refuses a case that there is not", async () => {
    await expect(takeWarmTurn({ ...task, name: "walks" })).rejects.toThrow("no case is called walks");
  });

  test.each([
    ["wasm", ["diff", "parse + diff"]],
    ["parse", ["parse"]],
    ["list", ["NodeList parsed and packed"]],
  ] as const)("measures of %s: %j", async (what, metrics) => {
    expect(Object.keys(await takeWarmTurn({ ...task, what }))).toEqual([...metrics]);
  });
});

describe("runColdRoutes", () => {
  test.each(["wasm", "twin", "map"] as const)(
    "finds with %s that nothing changed, and says how long",
    async (engine) => {
      const text = await runColdRoutes(engine, 200);
      expect(Object.keys(JSON.parse(text))).toEqual(["firstDiffMs"]);
      expect(JSON.parse(text).firstDiffMs).toBeGreaterThan(0);
      expect(text).not.toContain("\n");
    },
  );
});

describe("scenarios", () => {
  test("are named by the routes of dual stack, and by the family where there is one alone", () => {
    expect(nameRoutes(nodesOf(10_000, FAMILIES), FAMILIES)).toBe("10,000 routes");
    expect(nameRoutes(nodesOf(100, [6]), [6])).toBe("100 routes of IPv6 alone");
    expect(nameNodes(15_000, FAMILIES)).toBe("15,000 nodes");
  });

  test("have two nodes at least", () => {
    expect([nodesOf(0, FAMILIES), nodesOf(1, [4]), nodesOf(100_000, FAMILIES)]).toEqual([2, 2, 50_001]);
  });
});

describe("readingsOf", () => {
  const pass = (totalMs: number, steps: number) => ({
    totalMs,
    observeMs: totalMs / 4,
    diffMs: 1,
    executeMs: 2,
    steps,
    failures: [],
  });

  test("gives a pass, its parts but for those that were not, and what a step took where there are many", () => {
    const turn = readingsOf([
      { name: "first programming", passes: [pass(50, 200)] },
      { name: "nothing changed", passes: [pass(8, 0), pass(4, 0), pass(6, 0)] },
    ]);
    expect(Object.keys(turn)).toEqual([
      "first programming",
      "first programming: observe",
      "first programming: diff",
      "first programming: execute",
      "first programming, a step",
      "nothing changed",
      "nothing changed: observe",
      "nothing changed: diff",
    ]);
    expect(turn["first programming, a step"]?.median).toBe(250);
    expect(turn["nothing changed"]?.median).toBe(6);
    expect(turn["nothing changed: observe"]?.median).toBe(1.5);
  });

  test("says nothing of a step where the pass itself is most of the cost", () => {
    const turn = readingsOf([{ name: "first programming", passes: [pass(50, 99)] }]);
    expect(Object.keys(turn)).not.toContain("first programming, a step");
  });
});
