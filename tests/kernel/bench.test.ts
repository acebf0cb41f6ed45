import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { type Context, QUICK } from "../../src/entry/bench/context.ts";
import type { Measure } from "../../src/entry/bench/measure.ts";
import { measureKernel } from "../../src/entry/bench/routes/kernel.ts";
import { withNode } from "../../src/entry/bench/routes/namespace.ts";
import { measureProgramming } from "../../src/entry/bench/routes/programming.ts";
import { findProcesses } from "../../src/host/daemon.ts";
import { createDeadline } from "../../src/host/deadline.ts";
import { createHost } from "../../src/host/linux.ts";
import { FAMILIES } from "../../src/net/address.ts";
import { BINARY, must } from "./sandbox.ts";

/** What a run of ours left, by folder; namespaces and folders. */
const leftovers = () =>
  ["/run/netns", "/run", "/var/tmp"].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(`mbench-${process.pid}-`)) : [],
  );

function createContext() {
  const deadline = createDeadline(Number.POSITIVE_INFINITY);
  const kept: Measure[] = [];
  const context: Context = {
    host: createHost(deadline),
    cleaner: createHost(),
    self: [BINARY],
    effort: QUICK,
    peers: [],
    tell: () => {},
    keep: (measures) => void kept.push(...measures),
    note: () => {},
    isStopped: () => false,
  };
  return { context, kept, deadline };
}

test("a benchmark runs whole passes and agents in namespaces of its own and leaves none", async () => {
  const { context, kept } = createContext();
  // Enough for a pass of which a step can be told: two routes a node.
  await measureKernel(context, 60, FAMILIES);
  expect(leftovers()).toEqual([]);
  const metrics = new Set(kept.map(({ scenario, metric }) => `${scenario}: ${metric}`));
  const passes = [
    "first programming",
    "nothing changed",
    "nothing changed, list read anew",
    "one node changed",
    "all others gone",
  ];
  for (const scenario of ["60 nodes, host-gw", "60 nodes, vxlan"]) {
    for (const pass of passes) {
      const parts = pass.startsWith("nothing") ? [] : [": execute"];
      for (const part of ["", ": observe", ": diff", ...parts]) {
        expect(metrics).toContain(`${scenario}: ${pass}${part}`);
      }
    }
    expect(metrics).toContain(`${scenario}: first programming, a step`);
    for (const metric of ["ready", "memory", "memory, peak", "CPU in a quiet second"]) {
      expect(metrics).toContain(`${scenario}: agent ${metric}`);
    }
  }
  const found = (metric: string) => kept.find((measure) => measure.metric === metric);
  expect(found("agent memory")?.unit).toBe("MiB");
  expect(found("first programming, a step")?.unit).toBe("µs");
  expect(
    kept.filter(({ metric }) => metric.startsWith("agent memory")).every(({ median }) => median > 1),
  ).toBe(true);
}, 120_000);

test("routes to all peers come by netlink, by a whole pass and by ip -batch, each in a namespace of its own", async () => {
  const { context, kept } = createContext();
  await measureProgramming(context, 300);
  const found = kept.map(({ scenario, subject, metric }) => `${scenario}: ${subject}: ${metric}`);
  const subjects = ["minicni agent, netlink", "minicni agent, whole pass", "ip -batch"];
  expect(found).toEqual(
    ["programming", "programming CPU"].flatMap((metric) =>
      subjects.map((subject) => `300 routes, from none to all: ${subject}: ${metric}`),
    ),
  );
  expect(kept.filter(({ median }) => !(median > 0))).toEqual([]);
  expect(kept[0]?.ratios.map(({ to }) => to)).toEqual(["ip -batch"]);
  expect(leftovers()).toEqual([]);
}, 60_000);

test("the node of a benchmark has the addresses of the first node of its cluster, on a link of its own", async () => {
  const { context } = createContext();
  const shown = await withNode(context, FAMILIES, async (netns) =>
    must("nsenter", `--net=${netns}`, "ip", "-br", "addr", "show", "eth0"),
  );
  expect(shown).toContain("172.16.0.1/12");
  expect(shown).toContain("fd00:172::1/64");
  expect(leftovers()).toEqual([]);
}, 30_000);

test("a benchmark that is interrupted ends its agent and removes its namespace", async () => {
  const { context, deadline } = createContext();
  const tell = (text: string) => {
    if (text.endsWith("agents")) setTimeout(() => deadline.interrupt("SIGINT came"), 300);
  };
  const measured = measureKernel({ ...context, tell }, 20, FAMILIES);
  const failure = await measured.catch((error: unknown) => error);
  expect(String(failure)).toContain("SIGINT came");
  const isOurs = (word: string) => word.includes(`mbench-${process.pid}-`);
  expect(findProcesses().filter(({ argv }) => argv.some(isOurs))).toEqual([]);
  expect(leftovers()).toEqual([]);
}, 60_000);
