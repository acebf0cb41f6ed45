import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { runBench } from "../../../../src/entry/bench/index.ts";
import { formatResults, parseResults, type Results } from "../../../../src/entry/bench/results.ts";
import { MAX_NODES } from "../../../../src/entry/bench/routes/cluster.ts";
import { createHost } from "../../../../src/host/linux.ts";

const FOLDER = mkdtempSync(`${tmpdir()}/mtest-bench-`);
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

const ENTRY = [process.execPath, `${import.meta.dir}/../../../../src/entry/main.ts`];

/** What a command printed and told, with its exit code. */
async function bench(...args: string[]): Promise<{ exitCode: number; printed: string; told: string }> {
  const printed: string[] = [];
  const told: string[] = [];
  const host = { ...createHost(), log: (line: string) => void told.push(line) };
  const exitCode = await runBench(args, host, ENTRY, (text) => void printed.push(text));
  return { exitCode, printed: printed.join(""), told: told.join("\n") };
}

const routes = (...args: string[]) => bench("routes", "--no-kernel", "--quick", "--nodes", "2,9", ...args);

describe("minicni bench", () => {
  test.each([
    ["no cluster size", ["routes", "--nodes", "0"]],
    ["one node, which has no peer", ["routes", "--nodes", "1"]],
    ["more nodes than there are pod CIDRs", ["routes", "--nodes", String(MAX_NODES + 1)]],
    ["words", ["routes", "--nodes", "many"]],
    ["an unknown family", ["routes", "--families", "5"]],
    ["an unknown benchmark", ["walks"]],
    ["a report without a place for it", ["report", "results.json"]],
    ["a suite's option for another suite", ["cni", "--nodes", "3"]],
    ["a choice of scenarios where there is none", ["alloc", "--only", "x"]],
  ])("refuses %s", async (_what, args) => {
    const { exitCode, printed, told } = await bench(...args);
    expect([exitCode, printed]).toEqual([2, ""]);
    expect(told).toContain("error:");
  });

  test("shows its parts, and none of the commands by which it runs itself", async () => {
    const { exitCode, printed } = await bench("--help");
    expect(exitCode).toBe(0);
    for (const name of ["alloc", "routes", "cni", "network", "micro", "all", "report"]) {
      expect(printed).toContain(`  ${name} `);
    }
    for (const name of ["cold-alloc", "warm-alloc", "cold-routes", "warm-routes", "pass", "probe"]) {
      expect(printed).not.toContain(`  ${name} `);
    }
  });

  test("measures, keeps the results and prints tables; a report of them is a page", async () => {
    const out = `${FOLDER}/new/folder/results.json`;
    const { exitCode, printed, told } = await routes("--out", out);
    expect([exitCode, told]).toEqual([0, expect.stringContaining("] routes: 2 routes")]);
    expect(printed).toContain("routes: The diff");
    expect(printed).toContain("**quick: shows that it works, not how fast it is**");
    const results = parseResults(readFileSync(out, "utf8"), out);
    expect([results.isComplete, results.suites]).toEqual([true, ["routes"]]);
    expect(await bench("report", out, "--out", `${FOLDER}/page`)).toEqual({
      exitCode: 0,
      printed: "",
      told: "",
    });
    expect(readdirSync(`${FOLDER}/page`).sort()).toEqual(["benchmarks-routes.svg", "benchmarks.md"]);
  }, 60_000);

  test("prints one JSON document when asked, and compares with another run", async () => {
    const old = `${FOLDER}/old.json`;
    const first = await routes("--json");
    const results = parseResults(first.printed, "stdout");
    // What was ten times as fast before.
    const before: Results = {
      ...results,
      measures: results.measures.map((measure) => ({
        ...measure,
        turns: 60,
        ratios: [],
        median: measure.median / 10,
        low: measure.low / 10,
        high: measure.high / 10,
      })),
    };
    writeFileSync(old, formatResults(before));
    const { exitCode, told } = await routes("--json", "--against", old);
    // A quick run has too few turns to call anything a regression.
    expect([exitCode, told]).toEqual([0, expect.stringMatching(/ 0 regressions, .* [1-9][0-9]* unsure/)]);
  }, 60_000);

  test.each([
    ["is not there", "missing.json", "there is no file"],
    ["is no results", "garbage.json", "is no JSON"],
  ])("measures nothing when the file of --against %s", async (_what, name, words) => {
    writeFileSync(`${FOLDER}/garbage.json`, "garbage");
    const { exitCode, printed, told } = await routes("--against", `${FOLDER}/${name}`);
    expect([exitCode, printed]).toEqual([1, ""]);
    expect(told).toContain(words);
    expect(told).toContain("what to do: ");
    expect(told).not.toContain("routes: ");
  });

  test("measures nothing when the results can't be kept", async () => {
    writeFileSync(`${FOLDER}/file`, "");
    const { exitCode, told } = await routes("--out", `${FOLDER}/file/results.json`);
    expect([exitCode, told]).toEqual([1, expect.stringContaining("ENOTDIR")]);
  });
});
