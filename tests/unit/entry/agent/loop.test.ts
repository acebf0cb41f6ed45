import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import type { Known } from "../../../../src/entry/agent/known.ts";
import { runLoop, runOnce } from "../../../../src/entry/agent/loop.ts";
import type { PassReport } from "../../../../src/entry/agent/pass.ts";
import { createWakeups, type Reason } from "../../../../src/entry/agent/wakeups.ts";
import { BusyError } from "../../../../src/host/errors.ts";

const NOTHING: Known = { snapshot: null, isLive: false, fault: null };
const GOOD: PassReport = { plan: [], hasFailed: false };

function stage(resyncPeriodMs = 60_000) {
  const wakeups = createWakeups();
  const runs: Reason[][] = [];
  const faults = new Map<string, string | null>();
  let answer: () => PassReport = () => GOOD;
  let beats = 0;
  const pass = {
    run: async (_known: Known, reasons: ReadonlySet<Reason>) => {
      runs.push([...reasons].sort());
      return answer();
    },
  };
  const note = (key: string, fault: string | null) => void faults.set(key, fault);
  const journal = { info: () => undefined, warn: () => undefined, state: note };
  const health = { loop: () => ({ beat: () => void beats++ }), set: note };
  const nodes = { now: () => NOTHING };
  let ticks = 0;
  const running = runLoop({ resyncPeriodMs }, pass, nodes, wakeups, { health, journal }, () => ticks++);
  const until = async (count: number) => {
    for (let tries = 0; ticks < count && tries < 500; tries++) await Bun.sleep(10);
    expect(ticks).toBeGreaterThanOrEqual(count);
  };
  const answers = (next: () => PassReport) => {
    answer = next;
  };
  return { wakeups, runs, faults, running, until, answers, beats: () => beats };
}

describe("the loop", () => {
  test("passes at once, then when woken, with the reasons; and ends when closed", async () => {
    const { wakeups, runs, running, until, beats } = stage();
    await until(1);
    wakeups.wake("kernel");
    wakeups.wake("nodes");
    await until(2);
    wakeups.close();
    await running;
    expect(runs).toEqual([["timer"], ["kernel", "nodes"]]);
    expect(beats()).toBe(2);
  });

  test("passes each period, never without a reason", async () => {
    const { wakeups, runs, running, until } = stage(20);
    await until(10);
    wakeups.close();
    await running;
    expect(runs.every((reasons) => reasons.join() === "timer")).toBe(true);
  });

  test("outlives whatever a pass throws, says it, and takes it back", async () => {
    const { wakeups, running, faults, until, answers } = stage();
    await until(1);
    answers(() => {
      throw new BusyError("the dump was interrupted", "wait");
    });
    wakeups.wake("kernel");
    await until(2);
    expect(faults.get("pass")).toBe("the dump was interrupted: wait");
    expect(faults.get("routes")).toBe("the dump was interrupted: wait");
    answers(() => GOOD);
    wakeups.wake("kernel");
    await until(3);
    expect(faults.get("pass")).toBeNull();
    wakeups.close();
    await running;
  });
});

describe("a single pass", () => {
  const SNAPSHOT = { nodes: [], faults: [] };
  test.each([
    [GOOD, false, 0],
    [{ ...GOOD, hasFailed: true }, false, 1],
    [GOOD, true, 0],
  ] as const)("%p (dry run: %p) ends with %p", async (report, dryRun, code) => {
    const printed: string[] = [];
    const nodes = { now: (): Known => ({ ...NOTHING, snapshot: SNAPSHOT }) };
    const pass = { run: async () => report };
    expect(await runOnce({ dryRun }, pass, nodes, createWakeups(), (text) => printed.push(text))).toBe(code);
    expect(printed).toHaveLength(dryRun ? 1 : 0);
  });

  test("waits for the Nodes", async () => {
    const wakeups = createWakeups();
    let known = NOTHING;
    const pass = { run: async (given: Known) => ({ ...GOOD, hasFailed: given.snapshot === null }) };
    const done = runOnce({ dryRun: false }, pass, { now: () => known }, wakeups, () => undefined);
    wakeups.wake("nodes");
    await Bun.sleep(100);
    known = { ...NOTHING, snapshot: SNAPSHOT };
    wakeups.wake("nodes");
    expect(await done).toBe(0);
  });
});

test("no decision hangs on the wall clock, which may jump: it is only told", () => {
  const root = `${import.meta.dir}/../../../..`;
  const TOLD_ONLY = ["agent/agent.ts", "agent/process-metrics.ts", "kube/condition.ts"];
  const users = ["entry/agent", "kube"].flatMap((room) =>
    readdirSync(`${root}/src/${room}`, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .filter((name) => /\bDate\.now\(|new Date\(/.test(readFileSync(`${root}/src/${room}/${name}`, "utf8")))
      .map((name) => `${room.replace("entry/", "")}/${name}`),
  );
  expect(users.sort()).toEqual(TOLD_ONLY);
});
