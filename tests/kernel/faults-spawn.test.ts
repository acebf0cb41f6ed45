import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  checked,
  eachOf,
  type Fault,
  Faults,
  gcAll,
  good,
  INJECTED,
  NO_TRACES,
  told,
  traces,
} from "./faults.ts";
import { countRuns, faultyNode, upTo } from "./faults-node.ts";
import { destroySandboxes, type Json, Sandbox } from "./sandbox.ts";

setDefaultTimeout(90_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const CONFS: readonly (readonly [string, Json])[] = [
  ["plain", { executor: "iproute2" }],
  ["ipMasq", { executor: "iproute2", ipMasq: true }],
  ["ipMasq by nftables", { executor: "iproute2", ipMasq: true, ipMasqBackend: "nftables" }],
  // Messages to the kernel in place of `ip`: only rules are left to other programs.
  ["ipMasq and macspoofchk", { executor: "netlink", ipMasq: true, macspoofchk: true }],
];
const WIDTH = 4;

async function failedAdd(overrides: Json, isFirst: boolean, fault: Fault, nth: number): Promise<void> {
  const { box, conf, pod, before, stays } = await faultyNode(overrides, isFirst);
  const faults = new Faults(box, fault, nth);
  const done = await box.start("ADD", pod, conf, { env: faults.env }).done;
  expect(faults.struck()).toBe(true);
  if (done.exitCode === 0) {
    // What only looks may fail: then it is made as if nothing were there.
    await checked(box, pod, conf, done);
  } else {
    const { text } = told(done);
    const programs = faults.runs().slice(nth - 1, fault === "from" ? undefined : nth);
    expect(programs.some((run) => text.includes(run.split(" ")[0] ?? ""))).toBe(true);
    expect(text).toContain(INJECTED);
    if (fault !== "from") expect(traces(box)).toEqual(before);
    await stays();
    if (fault === "from") await good(box, "DEL", pod, conf);
    expect(traces(box)).toEqual(before);
    await checked(box, pod, conf, await good(box, "ADD", pod, conf));
  }
  await good(box, "DEL", pod, conf);
  expect(traces(box)).toEqual(before);
  await stays();
  box.destroy();
}

async function failedDel(overrides: Json, isFirst: boolean, fault: Fault, nth: number): Promise<void> {
  const { box, conf, pod, before, stays } = await faultyNode(overrides, isFirst);
  await good(box, "ADD", pod, conf);
  const faults = new Faults(box, fault, nth);
  const done = await box.start("DEL", pod, conf, { env: faults.env }).done;
  expect(faults.struck()).toBe(true);
  if (done.exitCode === 0) {
    expect(done.stdout).toBe("");
    const { links, reservations, records } = before;
    expect(traces(box)).toMatchObject({ links, reservations, records });
  } else {
    expect(told(done).text).toContain(INJECTED);
  }
  // By turns: the runtime repeats its DEL, or forgets it and calls GC.
  if (nth % 2 === 0 || !isFirst) await good(box, "DEL", { ...pod, netns: "" }, conf);
  else await good(box, "GC", pod, gcAll(conf));
  expect(traces(box)).toEqual(before);
  await stays();
  box.destroy();
}

function points(count: number, faults: readonly Fault[]) {
  return faults.flatMap((fault) => upTo(count).map((nth) => ({ fault, nth })));
}

describe("any one program fails", () => {
  for (const [name, overrides] of CONFS) {
    for (const isFirst of [true, false]) {
      const which = isFirst ? "the node's first pod" : "a further pod";
      const faults: Fault[] = overrides.macspoofchk === true ? ["fail", "late", "from"] : ["fail", "late"];

      test(`ADD of ${which}, ${name}: told, and nothing of it stays`, async () => {
        const count = await countRuns(overrides, isFirst, "ADD");
        expect(count).toBeGreaterThan(1);
        await eachOf(points(count, faults), WIDTH, ({ fault, nth }) =>
          failedAdd(overrides, isFirst, fault, nth),
        );
      });

      test(`DEL of ${which}, ${name}: the next DEL or GC ends it`, async () => {
        const count = await countRuns(overrides, isFirst, "DEL");
        expect(count).toBeGreaterThan(0);
        await eachOf(points(count, faults), WIDTH, ({ fault, nth }) =>
          failedDel(overrides, isFirst, fault, nth),
        );
      });
    }
  }
});

test("NO_TRACES is what an untouched node has", () => {
  expect(traces(new Sandbox())).toEqual(NO_TRACES);
});
