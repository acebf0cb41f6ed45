import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";
import { wallFileSystem } from "../../twin/fuse.ts";
import { shareWasmInstance } from "../../twin/one-pool.ts";
import { configurations, sampleResult } from "./documents.ts";
import { type Said, Subject } from "./subject.ts";
import { edits, isHarmless, mutate, slips, write } from "./values.ts";

setDefaultTimeout(300_000);

/** Calls of each property; `FUZZ_RUNS=10` makes ten times as many. */
const TIMES = Number(process.env.FUZZ_RUNS ?? 1);
const CALLS = 20_000 * TIMES;
const SOME = 4_000 * TIMES;

/** SPEC §5 "Error", and what its Go library adds. */
const CODES = [1, 2, 4, 5, 6, 7, 8, 11, 50, 51, 999];
/** Those that say: this request, as it is, can't be served. Nothing may have been tried. */
const REFUSALS = [1, 2, 4, 6, 7, 8];
/** What a DEL or GC can't do without: which network, who else is in it, who manages its addresses, and where. */
const NEEDED = [
  "dataDir",
  "cniVersion",
  "name",
  "stateDir",
  "cni.dev/valid-attachments",
  "cni.dev/attachments",
  "ipam.type",
  "ipam.dataDir",
];

const root = mkdtempSync(`${existsSync("/dev/shm") ? "/dev/shm" : tmpdir()}/minicni-fuzz-`);
const subject = new Subject(root);
const restore: (() => Promise<void>)[] = [];
beforeAll(async () => {
  restore.push(await wallFileSystem(root), await shareWasmInstance());
});
beforeEach(() => subject.renew());
afterAll(async () => {
  rmSync(root, { recursive: true, force: true });
  for (const work of restore) await work();
});

const command = fc.constantFrom("ADD", "ADD", "ADD", "DEL", "DEL", "CHECK", "GC", "STATUS", "VERSION");
const variablesOf = (name: string, containerId: string) => ({
  CNI_COMMAND: name,
  CNI_CONTAINERID: containerId,
  CNI_NETNS: `/run/netns/${containerId}`,
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
});

/** What holds of every answer. */
function judge(name: string, { exitCode, stdout, plans, hasChanged }: Said): void {
  if (exitCode === 0 && !["ADD", "VERSION"].includes(name)) {
    expect(stdout).toBe("");
    return;
  }
  expect(stdout).not.toMatch(/\n/);
  const document: { [key: string]: unknown } = JSON.parse(stdout);
  if (exitCode === 0) {
    expect(SUPPORTED_VERSIONS.some((version) => version === document.cniVersion)).toBe(true);
    expect(document).not.toHaveProperty("code");
    return;
  }
  expect(exitCode).toBe(1);
  expect(Object.keys(document)).toEqual(["cniVersion", "code", "msg", "details"]);
  expect([typeof document.cniVersion, typeof document.msg, typeof document.details]).toEqual([
    "string",
    "string",
    "string",
  ]);
  expect(document.msg).not.toBe("");
  expect(CODES).toContain(Number(document.code));
  expect(document.details).not.toBe("this is a fault of minicni");
  // A GC does what it can before it tells of what it could not do.
  if (name !== "GC") expect(hasChanged).toBe(false);
  // Only the kernel knows what is in the sandbox already.
  const isTaken = String(document.msg).includes("already exists in CNI_NETNS=");
  if (REFUSALS.includes(Number(document.code)) && !isTaken) expect(plans).toBe(0);
}

describe("every call", () => {
  test(`with an almost right configuration gets its one answer (${CALLS} calls)`, async () => {
    let served = 0;
    const property = fc.asyncProperty(
      command,
      fc.constantFrom("c0", "c1"),
      configurations(root),
      edits(0),
      slips,
      async (name, containerId, sample, changes, slip) => {
        const { document, touched } = mutate(sample, changes);
        const said = await subject.call(variablesOf(name, containerId), write(document, slip));
        judge(name, said);
        if (said.exitCode === 0) served++;
        const isMeant = isHarmless(slip) && !NEEDED.some((key) => touched.has(key));
        if (name === "DEL" && isMeant) expect([said.exitCode, said.stdout]).toEqual([0, ""]);
      },
    );
    await fc.assert(property, { numRuns: CALLS });
    expect(served).toBeGreaterThan(CALLS / 5);
  });

  test(`with any text gets its one answer, and changes nothing (${SOME} calls)`, async () => {
    const text = fc.oneof(
      fc.json(),
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.constantFrom("", "null", "[]", "{}", "1 2"),
    );
    const property = fc.asyncProperty(command, text, async (name, stdin) => {
      const said = await subject.call(variablesOf(name, "c1"), stdin);
      judge(name, said);
      expect(said.hasChanged).toBe(false);
      expect(said.exitCode).toBe(name === "VERSION" ? 0 : 1);
    });
    await fc.assert(property, { numRuns: SOME });
  });

  test("with a value nested to any depth, wherever it is, gets its one answer", async () => {
    const places = [
      '"prevResult":{"cniVersion":@}',
      '"prevResult":@',
      '"vlanTrunk":@',
      '"cniVersion":@',
      '"extra":@',
    ];
    for (const depth of [100, 1000, 3000, 5000, 8000, 12_000, 20_000, 40_000, 100_000]) {
      for (const place of places) {
        const deep = place.replace("@", "[".repeat(depth) + "]".repeat(depth));
        for (const name of ["ADD", "DEL", "CHECK", "GC", "STATUS"]) {
          const stdin = `{"cniVersion":"1.1.0","name":"pods",${deep},"ipam":{"subnet":"10.1.0.0/24"}}`;
          judge(name, await subject.call(variablesOf(name, "c1"), stdin));
        }
      }
    }
  });

  test(`with any environment gets its one answer (${SOME} calls)`, async () => {
    const value = fc.oneof(
      { weight: 3, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 16 }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          "",
          "add",
          "../c0",
          "x".repeat(300),
          "eth0/",
          "MAC=zz;IP=10.1.0.9",
          "IP=1;IP=2",
          "/proc/self/ns/net",
          "/run/netns",
        ),
      },
    );
    const changes = fc.record({
      CNI_COMMAND: value,
      CNI_CONTAINERID: value,
      CNI_NETNS: value,
      CNI_IFNAME: value,
      CNI_ARGS: value,
      CNI_PATH: value,
    });
    const property = fc.asyncProperty(command, changes, configurations(root), async (name, it, conf) => {
      const known: Record<string, string | undefined> = { ...variablesOf(name, "c1") };
      for (const [key, text] of Object.entries(it)) if (text !== null) known[key] = text;
      judge(known.CNI_COMMAND ?? "", await subject.call(known, JSON.stringify(conf)));
    });
    await fc.assert(property, { numRuns: SOME });
  });

  test(`gets its one answer whatever another IPAM plugin says (${SOME} calls)`, async () => {
    const error = { cniVersion: "1.0.0", code: 11, msg: "no address", details: "wait" };
    const version = fc.constantFrom(...SUPPORTED_VERSIONS);
    const told = fc
      .tuple(version, fc.boolean(), edits(0), slips)
      .map(([it, isError, changes, slip]) =>
        write(mutate(isError ? error : sampleResult(it), changes).document, slip),
      );
    const other = fc.record({
      exitCode: fc.constantFrom(0, 0, 1, -1),
      stdout: fc.oneof({ weight: 4, arbitrary: told }, { weight: 1, arbitrary: fc.string({ maxLength: 9 }) }),
      stderr: fc.constantFrom("", "oops"),
    });
    const property = fc.asyncProperty(command, version, other, async (name, cniVersion, it) => {
      const conf = {
        cniVersion,
        name: "others",
        type: "minicni",
        ipam: { type: "other" },
        prevResult: sampleResult(cniVersion),
      };
      const said = await subject.call(variablesOf(name, "c1"), JSON.stringify(conf), it);
      if (said.exitCode === 0) return judge(name, said);
      const { code, msg, details } = JSON.parse(said.stdout);
      expect([said.exitCode, Number.isInteger(code), typeof msg, typeof details]).toEqual([
        1,
        true,
        "string",
        "string",
      ]);
      expect(details).not.toBe("this is a fault of minicni");
      if (name === "ADD") expect(said.hasChanged).toBe(false);
    });
    await fc.assert(property, { numRuns: SOME });
  });
});
