import { describe, expect, test } from "bun:test";
import { createRecorder } from "../../../../src/entry/admin/trace/recorder.ts";
import {
  describeVerb,
  spread,
  spreadSteps,
  type TraceReport,
} from "../../../../src/entry/admin/trace/report.ts";
import { faultOf, verbsOf } from "../../../../src/entry/admin/trace/run.ts";
import type { Host } from "../../../../src/host/machine.ts";
import type { Step } from "../../../../src/plan/step.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

/** A clock that moves by one millisecond with each look. */
function createClock(): () => number {
  let ms = 0;
  return () => ++ms;
}

const LINK: Step = { op: "link.del", name: "a", netns: "", why: "test" };
const SYSCTL: Step = { op: "sysctl.set", key: "net/x", value: "1", optional: true, netns: "", why: "test" };

/** A machine of which only some functions are called; it says which. */
function record(isEach: boolean, failing = -1) {
  const calls: string[] = [];
  const host: Host = {
    ...createFakeMachine("/nowhere"),
    readFile: () => null,
    writeFile: () => undefined,
    link: () => null,
    sleep: async () => undefined,
    spawn: async () => ({ exitCode: 0, stdout: "", stderr: "", timedOut: false }),
    execute: async (plan) => {
      calls.push(`execute ${plan.length}`);
      if (calls.length - 1 === failing) throw new Error("refused");
    },
    executeEach: async (plan) => {
      calls.push(`undo ${plan.length}`);
      return [];
    },
    withLock: async (_path, _timeoutMs, work) => work(),
    withAttachmentLock: async (_path, _key, work) => work(),
    useExecutor: () => undefined,
  };
  const recorder = createRecorder(isEach, createClock());
  return { calls, host: recorder.wrap(host), finish: recorder.finish };
}

const stepsOf = ({ finish }: Pick<ReturnType<typeof record>, "finish">) =>
  finish().spans.map(({ step }) => step);

describe("the recorder names what a verb asks of the machine", () => {
  test("by function, by path and by the lock that is held", async () => {
    const { host, finish } = record(false);
    host.useExecutor("auto");
    host.readFile("/run/minicni/node.json");
    await host.sleep(50);
    await host.withAttachmentLock("/run/minicni/attachments.lock", "key", async () => {
      host.writeFile("/run/minicni/attachments/net/a:eth0.json", "");
      await host.withLock("/data/net/lock", 1, () => host.readFile("/data/net/10.1.2.3"));
      await host.withLock("/run/minicni/bridge.lock", 1, async () => host.link("minicni0"));
      await host.withLock("/run/minicni/rules.lock", 1, () =>
        host.spawn({ argv: ["iptables", "-S"], netns: "/x" }),
      );
      await host.execute([{ ...SYSCTL }, LINK]);
      host.link("mcni1");
      host.link("mcni1");
      host.writeFile("/run/minicni/attachments/net/a:eth0.json", "");
    });
    expect(stepsOf({ finish })).toEqual([
      "configuration read",
      "wait for the agent",
      "wait for the agent",
      "lock",
      "record written",
      "lock",
      "allocation",
      "lock",
      "bridge",
      "lock",
      "masquerade rules",
      "links, addresses, routes",
      "bridge port opens",
      "bridge port opens",
      "result",
      "record written",
    ]);
    expect(finish().spans.find(({ step }) => step === "masquerade rules")?.what).toBe(
      "iptables -S (in the sandbox)",
    );
    expect(finish().spans.find(({ step }) => step === "links, addresses, routes")?.what).toBe(
      "2 steps: sysctl.set, link.del",
    );
  });

  test("with each step of a plan by itself, taken back in reverse when one fails", async () => {
    const well = record(true);
    await well.host.execute([SYSCTL, LINK]);
    expect(well.calls).toEqual(["execute 1", "execute 1"]);
    expect(well.finish().spans.map(({ step, what }) => [step, what])).toEqual([
      ["sysctls", "sysctl -w net.x=1"],
      ["links", "ip link del dev a"],
    ]);
    const undo = { op: "link.del", name: "b" } as const;
    const ill = record(true, 1);
    await expect(ill.host.execute([{ ...SYSCTL, undo }, LINK, LINK])).rejects.toThrow("refused");
    expect(ill.calls).toEqual(["execute 1", "execute 1", "undo 1"]);
  });
});

describe("a verb in rows", () => {
  const span = (step: string, startMs: number, durationMs: number, isAlone = false) => ({
    step,
    what: "",
    isAlone,
    startMs,
    durationMs,
  });

  test("neighbours of one step are one row; what overlaps counts once", () => {
    const spans = [
      span("links looked at", 0, 1),
      span("links looked at", 1, 2),
      span("program", 4, 4, true),
      span("program", 5, 4, true),
      span("allocation", 9, 1, true),
    ];
    const { rows, ownMs } = describeVerb("DEL", { spans, totalMs: 12 }, null);
    expect(rows.map(({ step, calls, durationMs }) => [step, calls, durationMs])).toEqual([
      ["links looked at", 2, 3],
      ["program", 1, 4],
      ["program", 1, 4],
      ["address given back", 1, 1],
    ]);
    expect(ownMs).toBe(3);
  });

  test("many runs: least, middle and most of each step; a run without it counts as none", () => {
    const run = (...spans: ReturnType<typeof span>[]): TraceReport["runs"][number] => [
      describeVerb("ADD", { spans, totalMs: 10 }, null),
    ];
    const runs = [
      run(span("bridge", 0, 5)),
      run(span("lock", 0, 1)),
      run(span("lock", 0, 2), span("bridge", 2, 1)),
    ];
    expect(spreadSteps(runs, "ADD").map(({ step, min, median, max }) => [step, min, median, max])).toEqual([
      ["bridge", 0, 1, 5],
      ["lock", 0, 1, 2],
      ["minicni itself", 5, 7, 9],
    ]);
    expect(spread([])).toEqual({ min: 0, median: 0, max: 0 });
  });

  test("what a failed verb says, whatever it printed", () => {
    expect(faultOf({ exitCode: 0, stdout: "x" })).toBeNull();
    expect(faultOf({ exitCode: 1, stdout: '{"code": 11, "msg": "not ready", "details": "wait"}' })).toBe(
      "code 11: not ready; wait",
    );
    expect(faultOf({ exitCode: 2, stdout: "" })).toBe("exit 2 and no answer");
    expect(faultOf({ exitCode: 2, stdout: "panic\n" })).toBe("panic");
  });

  test("a protocol without CHECK has none", () => {
    expect(verbsOf("0.3.1")).toEqual(["ADD", "DEL"]);
    expect(verbsOf("1.0.0")).toEqual(["ADD", "CHECK", "DEL"]);
  });
});
