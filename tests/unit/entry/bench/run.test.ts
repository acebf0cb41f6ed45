import { describe, expect, test } from "bun:test";
import { isWanted, QUICK, type Suite } from "../../../../src/entry/bench/context.ts";
import type { Measure, SuiteName } from "../../../../src/entry/bench/measure.ts";
import type { Results } from "../../../../src/entry/bench/results.ts";
import { runSuites } from "../../../../src/entry/bench/run.ts";
import { HostError, OverdueError } from "../../../../src/host/errors.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

const MEASURE: Measure = {
  suite: "alloc",
  scenario: "/24",
  metric: "count",
  subject: "WASM",
  unit: "ns",
  better: "less",
  median: 1,
  low: 1,
  high: 1,
  p95: 1,
  turns: 9,
  ratios: [],
};

/** A run of these suites; what was saved meanwhile, what a person was told. `load`: of /proc/loadavg. */
async function run(
  suites: Partial<Record<SuiteName, Suite>>,
  settings: { readonly interruptAfter?: number; readonly load?: number; readonly only?: string } = {},
) {
  const host = createFakeMachine("/nonexistent");
  const saved: Results[] = [];
  const told: string[] = [];
  const { interruptAfter = Number.POSITIVE_INFINITY, load = 0, only } = settings;
  const outcome = await runSuites({
    suites: new Map(Object.entries(suites) as [SuiteName, Suite][]),
    effort: QUICK,
    only,
    peers: [],
    self: ["/bin/false"],
    host,
    cleaner: host,
    load,
    tell: (text) => void told.push(text),
    save: (results) => void saved.push(results),
    interruptedBy: () => (saved.length >= interruptAfter ? "SIGINT" : null),
  });
  return { ...outcome, saved, told };
}

const good: Suite = async ({ keep, tell, note }) => {
  tell("counting");
  keep([MEASURE]);
  note("no peers here");
};

describe("runSuites", () => {
  test("keeps what was found after each scenario, and says what it does and leaves out", async () => {
    const { results, faults, saved, told } = await run({ alloc: good });
    expect([faults, results.isComplete, results.measures, results.notes]).toEqual([
      [],
      true,
      [MEASURE],
      ["no peers here"],
    ]);
    expect(saved.map(({ isComplete, measures, marks }) => [isComplete, measures.length, marks[0]])).toEqual([
      [false, 0, "partial: the run was not finished"],
      [false, 1, "partial: the run was not finished"],
      [true, 1, "quick: shows that it works, not how fast it is"],
    ]);
    expect(told).toEqual(["alloc: counting", "note: no peers here"]);
  });

  test("tells suites which scenarios are wanted, and marks what is not all of them", async () => {
    const wanted: string[] = [];
    const suite: Suite = async (context) => {
      wanted.push(...["chain: ipMasq", "sequential"].filter((scenario) => isWanted(context, scenario)));
    };
    const { results } = await run({ cni: suite }, { only: "chain" });
    expect(wanted).toEqual(["chain: ipMasq"]);
    expect(results.marks).toContain('partial: only scenarios with "chain"');
    await run({ cni: suite });
    expect(wanted).toEqual(["chain: ipMasq", "chain: ipMasq", "sequential"]);
  });

  test("measures nothing when the results can't be kept", async () => {
    const host = createFakeMachine("/nonexistent");
    const suite: Suite = () => expect.unreachable();
    const work = runSuites({
      suites: new Map([["alloc", suite]]),
      effort: QUICK,
      peers: [],
      self: [],
      host,
      cleaner: host,
      load: 0,
      tell: () => undefined,
      save: () => {
        throw new Error("EROFS: read-only file system, open '/results.json.new'");
      },
      interruptedBy: () => null,
    });
    await expect(work).rejects.toThrow("EROFS");
  });

  test("goes on with the next suite when one fails, and says that it is partial", async () => {
    const broken: Suite = async ({ keep }) => {
      keep([MEASURE]);
      throw new HostError("no bridge", "load the module");
    };
    const { results, faults } = await run({ cni: broken, alloc: good });
    expect(faults).toEqual(["cni: no bridge; what to do: load the module"]);
    expect([results.isComplete, results.measures.length]).toEqual([false, 2]);
    expect(results.marks).toContain("partial: a suite failed, see the notes");
    expect(results.notes).toContain("cni: not finished: no bridge");
  });

  test("ends at an interruption, with what there is and a mark", async () => {
    const cutShort: Suite = async ({ keep, isStopped }) => {
      keep([MEASURE]);
      expect(isStopped()).toBe(true);
      throw new OverdueError("a call", "SIGINT came");
    };
    const { results, faults } = await run({ cni: cutShort, alloc: good }, { interruptAfter: 2 });
    expect([faults, results.isComplete, results.measures.length]).toEqual([[], false, 1]);
    expect(results.marks).toContain("partial: interrupted by SIGINT");
  });

  test("a fault that is no interruption is told, even of a call that took too long", async () => {
    const slow: Suite = () => Promise.reject(new OverdueError("a call", "its time is over"));
    expect((await run({ cni: slow })).faults).toHaveLength(1);
  });

  test("warns of a busy machine and marks the results", async () => {
    const { results, told } = await run({ alloc: good }, { load: 1e6 });
    expect(results.marks[0]).toMatch(/^busy: a load of 1000000\.0 on [0-9]+ CPUs when the run began$/);
    expect(told[0]).toMatch(/^warning: busy: .*wait until the machine is quiet$/);
    expect((await run({ alloc: good }, { load: 0.5 })).results.marks).toEqual([
      "quick: shows that it works, not how fast it is",
    ]);
  });
});
