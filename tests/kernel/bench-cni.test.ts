import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { measureCni } from "../../src/entry/bench/cni/suite.ts";
import { type Context, QUICK } from "../../src/entry/bench/context.ts";
import type { Measure } from "../../src/entry/bench/measure.ts";
import { findPeers, type Peers } from "../../src/entry/bench/peers.ts";
import { parseResults } from "../../src/entry/bench/results.ts";
import { createHost } from "../../src/host/linux.ts";
import type { Host } from "../../src/host/machine.ts";
import { BINARY, read, run } from "./sandbox.ts";

const SCENARIOS = [
  "starting a program",
  "sequential, empty node",
  "burst of 30, 10 at once",
  "burst of 30, 30 at once",
  "sequential, 30 pods on the node",
  "a /16 range, 0 % full",
  "a /16 range, 99.9 % full",
  "chain: ipMasq",
  "chain: ipMasq + portmap",
  "chain: ipMasq + portmap + bandwidth",
];

const left = (pid: number) =>
  ["/run/netns", "/run", "/var/tmp"].flatMap((folder) =>
    (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.startsWith(`mbench-${pid}-`)),
  );

/** A quick run in this process: what it measured, and its notes. `stopAfter`: no turn once so much was kept. */
async function measure(host: Host, peers: readonly Peers[], stopAfter = Number.POSITIVE_INFINITY) {
  const measures: Measure[] = [];
  const notes: string[] = [];
  const context: Context = {
    host,
    cleaner: createHost(),
    self: [BINARY],
    effort: { ...QUICK, least: 1, most: 1 },
    peers,
    tell: () => undefined,
    keep: (found) => void measures.push(...found),
    note: (text) => void notes.push(text),
    isStopped: () => measures.length >= stopAfter,
  };
  await measureCni(context);
  return { measures, notes };
}

test("the suite measures us, the system's reference plugins and the floor in each scenario, and leaves nothing", async () => {
  const { measures, notes } = await measure(createHost(), await findPeers(createHost(), []));
  expect([...new Set(measures.map(({ scenario }) => scenario))]).toEqual(SCENARIOS);
  for (const scenario of SCENARIOS) {
    const subjects = new Set(
      measures.filter((found) => found.scenario === scenario).map(({ subject }) => subject),
    );
    expect([scenario, ...subjects]).toEqual([
      scenario,
      "minicni",
      expect.stringMatching(/^bridge \+ host-local [0-9]/),
      "floor",
    ]);
  }
  const metrics = (scenario: string) =>
    new Set(measures.filter((found) => found.scenario === scenario).map(({ metric }) => metric));
  const sequential = ["ADD", "DEL", "ADD CPU", "DEL CPU", "ADD peak memory", "DEL peak memory"];
  expect([...metrics("sequential, empty node")]).toEqual(sequential);
  expect([...metrics("burst of 30, 10 at once")]).toEqual([...sequential.slice(0, 4), "burst", "drain"]);
  // A process that measures nothing, or our own memory for its own, would be among these.
  for (const { metric, median, subject } of measures) {
    expect([metric, subject, median > 0]).toEqual([metric, subject, true]);
    if (metric.includes("memory") && subject !== "minicni") expect(median).toBeLessThan(20);
  }
  expect(notes).toEqual([expect.stringMatching(/^the floor is a (static|dynamic) C program/)]);
  expect(left(process.pid)).toEqual([]);
}, 240_000);

test("without reference plugins and a compiler minicni stands alone, and notes say how to get them", async () => {
  const bare: Host = { ...createHost(), findProgram: () => null };
  const { measures, notes } = await measure(bare, [], 12);
  expect([...new Set(measures.map(({ subject }) => subject))]).toEqual(["minicni"]);
  expect(notes).toEqual([
    expect.stringContaining("apt-get install containernetworking-plugins"),
    expect.stringContaining("no C compiler"),
    expect.stringContaining("apt-get install time"),
  ]);
  expect(left(process.pid)).toEqual([]);
}, 240_000);

test("Ctrl-C removes all that was made, keeps what was found and marks it", async () => {
  const folder = mkdtempSync(`${tmpdir()}/mtest-`);
  try {
    const out = `${folder}/results.json`;
    const child = Bun.spawn({
      cmd: [BINARY, "bench", "cni", "--out", out],
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const end = Date.now() + 60_000;
    const hasFound = () => existsSync(out) && read(out).includes('"subject"');
    while (!hasFound() && Date.now() < end) await Bun.sleep(20);
    // Into the middle of what comes next: namespaces, calls.
    await Bun.sleep(300);
    child.kill("SIGINT");
    expect([await child.exited, left(child.pid)]).toEqual([130, []]);
    expect(await child.stderr.text()).toContain("SIGINT: removing what was made");
    const results = parseResults(read(out), out);
    expect(results.isComplete).toBe(false);
    expect(results.marks).toContain("partial: interrupted by SIGINT");
    expect(results.measures.length).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

test("without root it says so, measures what needs none, and its exit code says that something is missing", () => {
  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const { exitCode, stderr } = run([...asNobody, BINARY, "bench", "cni", "--quick"]);
  expect([exitCode, stderr]).toEqual([
    1,
    expect.stringContaining("cni: it makes network namespaces; what to do: run it as root"),
  ]);
});
