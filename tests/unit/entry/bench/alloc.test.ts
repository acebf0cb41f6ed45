import { afterAll, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { runColdAlloc } from "../../../../src/entry/bench/alloc/cold.ts";
import { ENGINES, loadEngine } from "../../../../src/entry/bench/alloc/engines.ts";
import { fillInParts, fillStore, reservedNames } from "../../../../src/entry/bench/alloc/fill-store.ts";
import { measureFresh } from "../../../../src/entry/bench/alloc/fresh.ts";
import { chooseScattered } from "../../../../src/entry/bench/alloc/fullness.ts";
import { measureHostLocal } from "../../../../src/entry/bench/alloc/host-local.ts";
import { createSlotTrials, isPaired, operationsOf } from "../../../../src/entry/bench/alloc/slot-trials.ts";
import { createTextTrials } from "../../../../src/entry/bench/alloc/text-trials.ts";
import { fit, time } from "../../../../src/entry/bench/alloc/trial.ts";
import { measureWarm } from "../../../../src/entry/bench/alloc/warm.ts";
import { runWarmAlloc, takeWarmTurn } from "../../../../src/entry/bench/alloc/warm-turn.ts";
import { describeWorkload, FULLNESSES, LENGTHS } from "../../../../src/entry/bench/alloc/workload.ts";
import { type Context, QUICK } from "../../../../src/entry/bench/context.ts";
import { formatKey, type Measure } from "../../../../src/entry/bench/measure.ts";
import type { SpawnRequest } from "../../../../src/host/machine.ts";
import { parseReservation } from "../../../../src/ipam/reservation.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

const folder = mkdtempSync(`${tmpdir()}/mtest-alloc-`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const countOnes = (bytes: Uint8Array) =>
  bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);

test("chooseScattered takes as many as wanted, in order, none twice, and always the same ones", () => {
  const chosen = chooseScattered(1_000, 37);
  expect(chosen).toHaveLength(37);
  expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a - b));
  expect(chosen.every((number) => number >= 0 && number < 1_000)).toBe(true);
  expect(chooseScattered(1_000, 37)).toEqual(chosen);
  expect([chooseScattered(3, 3), chooseScattered(3, 0), chooseScattered(2, 5)]).toEqual([
    [0, 1, 2],
    [],
    [0, 1],
  ]);
});

describe("a workload", () => {
  const all = LENGTHS.flatMap((length) => FULLNESSES.map((fullness) => [length, fullness] as const));

  test.each(all)("of a /%i is as full as it says (%f), with its gateway in use", (length, fullness) => {
    const { capacity, bitmap, used, free } = describeWorkload(length, fullness);
    expect(capacity).toBe(2 ** (32 - length) - 2);
    expect([countOnes(bitmap), free.length]).toEqual([used, capacity - used]);
    // The gateway is no address that anybody could have.
    expect(used - 1).toBe(Math.floor((capacity - 1) * fullness));
    expect([free.length > 0, free.includes(0)]).toEqual([true, false]);
  });

  test("is the same in every run", () => {
    expect(describeWorkload(16, 0.99)).toEqual(describeWorkload(16, 0.99));
  });
});

describe("fillStore", () => {
  const range = { first: "240.16.0.1", count: 254 };

  test("reserves a part of a range by files that host-local would have written, never the gateway", () => {
    fillStore(`${folder}/half`, range, 0.5);
    const names = readdirSync(`${folder}/half`).sort();
    expect(names).toEqual([...reservedNames(range, 0.5)].sort());
    expect([names.length, names.includes("240.16.0.1")]).toEqual([126, false]);
    for (const name of names) {
      const text = readFileSync(`${folder}/half/${name}`, "utf8");
      expect(parseReservation(text)).toEqual({ containerId: "mbench-filler", ifname: "eth0" });
      expect(text).toContain("\r\n");
    }
  });

  test("leaves a free address in a range that is nearly full, and none in a full one", () => {
    expect([0, 0.999, 1].map((fullness) => reservedNames(range, fullness).length)).toEqual([0, 252, 253]);
    const whole = { first: "240.16.0.0", count: 256 };
    expect(reservedNames(whole, 1).filter((name) => name === "240.16.0.1")).toEqual([]);
  });

  test("gives no file more names than a file system allows", () => {
    const parts = [...fillInParts(`${folder}/many`, { first: "240.16.0.1", count: 65_534 }, 0.5)];
    expect(parts).toHaveLength(2);
    const names = readdirSync(`${folder}/many`);
    expect(names).toHaveLength(32_766);
    expect(statSync(`${folder}/many/${names[0]}`).nlink).toBeLessThanOrEqual(30_000);
  });

  test("refuses what is no range", () => {
    const bad = [
      { first: "fd00::1", count: 1 },
      { first: "240.16.0", count: 1 },
      { first: "240.16.0.1", count: 0 },
      { first: "255.255.255.255", count: 2 },
    ];
    for (const wrong of bad) expect(() => reservedNames(wrong, 0.5)).toThrow(RangeError);
    for (const fullness of [-0.1, 1.1, Number.NaN])
      expect(() => reservedNames(range, fullness)).toThrow(RangeError);
  });
});

describe("the trials", () => {
  const places = [
    [24, 0],
    [24, 0.99],
    [24, 0.999],
    [16, 0.999],
  ] as const;
  const cases = ENGINES.flatMap((engine) => places.map((place) => [engine, ...place] as const));

  test.each(cases)(
    "of %s in a /%i, full to %f, leave the pool as it was",
    async (engine, length, fullness) => {
      const workload = describeWorkload(length, fullness);
      const pool = (await loadEngine(engine))(workload.capacity);
      pool.load(workload.bitmap);
      const slots = createSlotTrials(pool, workload);
      const texts = createTextTrials(pool, workload);
      const suffix = isPaired(workload) ? " and release" : "";
      const takes = [`next-fit${suffix}`, `static${suffix}`];
      expect(Object.keys(slots)).toEqual([...takes, ...(isPaired(workload) ? [] : ["release"]), "count"]);
      expect(Object.keys(texts)).toEqual(takes);
      for (const create of [...Object.values(slots), ...Object.values(texts)]) {
        const trial = fit(create, operationsOf(workload), 0.05, 0);
        expect(trial.size).toBeGreaterThanOrEqual(1);
        expect(trial.size).toBeLessThanOrEqual(operationsOf(workload));
        expect(time(trial, 0).median).toBeGreaterThanOrEqual(0);
        expect(pool.bytes()).toEqual(workload.bitmap);
      }
    },
  );

  test("of an allocator that does not do what it should end with an error", async () => {
    const workload = describeWorkload(24, 0.5);
    const pool = (await loadEngine("Uint32Array"))(workload.capacity);
    pool.load(workload.bitmap);
    const wrong = { ...pool, claim: () => false, count: () => 7, release: () => false };
    for (const create of Object.values(createSlotTrials(wrong, workload))) {
      expect(() => time(create(10), 0)).toThrow("an allocator");
    }
  });
});

/** A suite's measures by key, with the children's work done in this process. */
async function run(
  suite: (context: Context) => Promise<void>,
  change: Partial<Context> = {},
): Promise<{ kept: Measure[]; notes: string[] }> {
  const kept: Measure[] = [];
  const notes: string[] = [];
  const spawn = async ({ argv, stdin = "" }: SpawnRequest) => {
    const stdout = argv.includes("cold-alloc")
      ? await runColdAlloc(argv.at(-1) ?? "")
      : await runWarmAlloc(stdin);
    return { exitCode: 0, stdout, stderr: "", timedOut: false };
  };
  const host = { ...createFakeMachine("/nonexistent"), spawn };
  await suite({
    host,
    cleaner: host,
    self: ["/bin/false"],
    effort: { ...QUICK, turnMs: 0.1 },
    peers: [],
    tell: () => undefined,
    keep: (measures) => void kept.push(...measures),
    note: (text) => void notes.push(text),
    isStopped: () => false,
    ...change,
  });
  return { kept, notes };
}

describe("the suite", () => {
  test("measures every engine warm, by slots and by text, and says what has to be known", async () => {
    const { kept, notes } = await run(measureWarm);
    const scenarios = [
      ["/24, 99.9 % full", ["next-fit and release", "static and release", "count"]],
      ["/24, 99.9 % full, text in and out", ["next-fit and release", "static and release"]],
      ["/16, 0 % full", ["next-fit", "static", "release", "count"]],
      ["/16, 0 % full, text in and out", ["next-fit", "static"]],
      ["/16, 99.9 % full", ["next-fit", "static", "release", "count"]],
      ["/16, 99.9 % full, text in and out", ["next-fit", "static"]],
    ] as const;
    const wanted = scenarios.flatMap(([scenario, metrics]) =>
      metrics.flatMap((metric) => ENGINES.map((engine) => `alloc | ${scenario} | ${metric} | ${engine}`)),
    );
    expect(kept.map(formatKey)).toEqual(wanted);
    for (const { subject, unit, ratios, turns } of kept) {
      expect([unit, turns]).toEqual(["ns", 3]);
      expect(ratios.map(({ to }) => to)).toEqual(subject === "WASM" ? [] : ["WASM"]);
    }
    expect(notes).toHaveLength(3);
  }, 30_000);

  test("measures the first allocation of fresh processes", async () => {
    const { kept } = await run(measureFresh);
    const wanted = ["first allocation", "whole process"].flatMap((metric) =>
      ENGINES.map((engine) => `alloc | /16, 50 % full, fresh process | ${metric} | ${engine}`),
    );
    expect(kept.map(formatKey)).toEqual(wanted);
    expect(new Set(kept.map(({ unit }) => unit))).toEqual(new Set(["µs", "ms"]));
  });

  test("throws when an engine gives other addresses than the others", async () => {
    const warm = (context: Context) =>
      measureWarm(context, async (task) => {
        const turn = await takeWarmTurn(task);
        return task.engine === "BigInt" ? { ...turn, given: [1, 2, 3] } : turn;
      });
    await expect(run(warm)).rejects.toThrow("BigInt gave other addresses than WASM");
  });

  test("tells what a child said that failed", async () => {
    const spawn = async () => ({ exitCode: 1, stdout: "", stderr: "no such thing\n", timedOut: false });
    const host = { ...createFakeMachine("/nonexistent"), spawn };
    await expect(run(measureFresh, { host })).rejects.toThrow(
      "`/bin/false bench cold-alloc --engine WASM/16` failed: no such thing",
    );
    await expect(run(measureWarm, { host })).rejects.toThrow(
      "`/bin/false bench warm-alloc` failed: no such thing",
    );
  });

  test("keeps nothing when it is stopped before its first turn", async () => {
    const { kept } = await run(measureWarm, { isStopped: () => true });
    expect(kept).toEqual([]);
    expect((await run(measureFresh, { isStopped: () => true })).kept).toEqual([]);
  });

  test("leaves whole plugins out without root, and says so", async () => {
    const getuid = spyOn(process, "getuid").mockReturnValue(1000);
    try {
      const { kept, notes } = await run(measureHostLocal);
      expect([kept, notes]).toEqual([[], ["Allocators: host-local's method was left out: it needs root."]]);
    } finally {
      getuid.mockRestore();
    }
  });
});

test("a fresh process gives the first free slot, by every engine, and refuses others", async () => {
  const lines = await Promise.all(ENGINES.map((engine) => runColdAlloc(`${engine}/24`)));
  const slots = lines.map((line) => (JSON.parse(line) as { slot: number }).slot);
  expect(new Set(slots).size).toBe(1);
  expect(await runColdAlloc("WASM")).toEndWith("}\n");
  await expect(runColdAlloc("abacus/24")).rejects.toThrow(RangeError);
});
