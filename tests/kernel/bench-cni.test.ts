import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { describePlugins } from "../../src/entry/bench/cni/plugins.ts";
import { installPrograms } from "../../src/entry/bench/cni/programs.ts";
import { createPluginSide, type Side } from "../../src/entry/bench/cni/side.ts";
import { measureCni } from "../../src/entry/bench/cni/suite.ts";
import { type Context, QUICK } from "../../src/entry/bench/context.ts";
import type { Measure } from "../../src/entry/bench/measure.ts";
import { findPeers, type Peers } from "../../src/entry/bench/peers.ts";
import { parseResults } from "../../src/entry/bench/results.ts";
import { withScratch } from "../../src/entry/bench/scratch.ts";
import { findProcesses } from "../../src/host/daemon.ts";
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
  "chain: portmap + bandwidth",
];

const left = (pid: number) =>
  ["/run/netns", "/run", "/var/tmp"].flatMap((folder) =>
    (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.startsWith(`mbench-${pid}-`)),
  );

/** Agents, and whatever else names a folder of a run. */
const running = (pid: number) =>
  findProcesses().filter(({ argv }) => argv.some((word) => word.includes(`/mbench-${pid}-`)));

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

/** A served side with one pod, as the suite makes it; whatever happens to its agent, it is ended. */
async function withServedSide(work: (side: Side) => Promise<void>): Promise<void> {
  const host = createHost();
  const context: Context = {
    host,
    cleaner: host,
    self: [BINARY],
    effort: QUICK,
    peers: [],
    tell: () => undefined,
    keep: () => undefined,
    note: () => undefined,
    isStopped: () => false,
  };
  await withScratch(context, async (scratch) => {
    const programs = installPrograms([BINARY], `${scratch.disk}/bin`);
    const [served] = describePlugins(programs, []);
    if (served === undefined) throw new Error("there is no plugin set");
    const side = await createPluginSide({ context, scratch, meter: null, pods: 1, programs }, served, "one");
    try {
      await work(side);
    } finally {
      await side.serving?.stop();
    }
  });
}

test("calls that the agent answered are its own by its count, and its processor time is there to be seen", async () => {
  await withServedSide(async (side) => {
    const before = side.serving?.cpuMs() ?? 0;
    await side.add(0);
    await side.del(0);
    expect(side.serving?.cpuMs()).toBeGreaterThan(before);
    expect(side.serving?.residentMiB()).toBeGreaterThan(10);
    await side.verify();
  });
  expect([left(process.pid), running(process.pid)]).toEqual([[], []]);
}, 60_000);

test("calls that another one answered in the agent's stead are found out", async () => {
  await withServedSide(async (side) => {
    await side.add(0);
    await side.serving?.stop();
    // By the binary alone, and just as well.
    await side.del(0);
    expect(side.verify()).rejects.toThrow("the agent did not serve all calls: 2 calls were made, 0 served");
  });
  expect(running(process.pid)).toEqual([]);
}, 60_000);

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
      "minicni standalone",
      expect.stringMatching(/^bridge \+ host-local [0-9]/),
      "floor",
    ]);
  }
  const metrics = (scenario: string) =>
    new Set(measures.filter((found) => found.scenario === scenario).map(({ metric }) => metric));
  const sequential = ["ADD", "DEL", "ADD CPU", "DEL CPU", "ADD peak memory", "DEL peak memory"];
  expect([...metrics("sequential, empty node")]).toEqual(sequential);
  const burst = [...sequential.slice(0, 4), "burst", "drain", "burst CPU", "drain CPU"];
  const memory = ["burst", "drain"].flatMap((what) => [
    `${what} peak memory, all processes`,
    `${what} peak memory, all processes, shared parts once`,
  ]);
  expect([...metrics("burst of 30, 10 at once")]).toEqual(burst);
  expect([...metrics("burst of 30, 30 at once")]).toEqual([...burst, ...memory]);
  // A process that measures nothing, or our own memory for its own, would be among these.
  for (const { metric, median, subject } of measures) {
    expect([metric, subject, median > 0]).toEqual([metric, subject, true]);
    const isCall = metric.includes("memory") && !metric.includes("all processes");
    if (isCall && !subject.startsWith("minicni")) expect(median).toBeLessThan(20);
  }
  const memoryOf = (subject: string) =>
    measures.find((found) => found.metric === memory[0] && found.subject === subject)?.median ?? 0;
  // The agent once, or thirty runtimes.
  expect(memoryOf("minicni")).toBeGreaterThan(30);
  expect(memoryOf("minicni standalone")).toBeGreaterThan(memoryOf("minicni"));
  expect(running(process.pid)).toEqual([]);
  expect(notes).toEqual([expect.stringMatching(/^the floor is a (static|dynamic) C program/)]);
  expect(left(process.pid)).toEqual([]);
}, 240_000);

test("without reference plugins and a compiler minicni stands alone, and notes say how to get them", async () => {
  const bare: Host = { ...createHost(), findProgram: () => null };
  const { measures, notes } = await measure(bare, [], 12);
  expect([...new Set(measures.map(({ subject }) => subject))]).toEqual(["minicni", "minicni standalone"]);
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
    expect([await child.exited, left(child.pid), running(child.pid)]).toEqual([130, [], []]);
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
