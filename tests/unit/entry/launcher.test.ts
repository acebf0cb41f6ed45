import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { runLauncher } from "../../../src/entry/launcher.ts";
import { readLauncher } from "../../../src/host/launcher.ts";
import { createHost } from "../../../src/host/linux.ts";

const dir = mkdtempSync(`${tmpdir()}/minicni-launcher-`);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let logged: string[];
beforeEach(() => {
  logged = [];
  for (const name of readdirSync(dir)) rmSync(`${dir}/${name}`, { recursive: true });
});

const launcher = (...args: string[]) => {
  const host = { ...createHost(), log: (line: string) => logged.push(line) };
  return runLauncher(args, host, () => {});
};

describe("minicni launcher", () => {
  test.each([
    [[], process.arch],
    [["--arch", "arm64"], "arm64"],
    [["--arch", "x64"], "x64"],
  ])("with %j writes one that can be run, in place of what is there", async (more, architecture) => {
    const out = `${dir}/minicni`;
    writeFileSync(out, "old", { mode: 0o600 });
    expect(await launcher("--out", out, ...more)).toBe(0);
    expect(readFileSync(out).equals(readLauncher(architecture))).toBe(true);
    expect(statSync(out).mode & 0o7777).toBe(0o755);
    expect(readdirSync(dir)).toEqual(["minicni"]);
  });

  test("into a folder that is not there fails, and says how to make it", async () => {
    expect(await launcher("--out", `${dir}/none/minicni`)).toBe(1);
    expect(logged).toContain(`to do: make the folder first: mkdir -p ${dir}/none`);
    expect(readdirSync(dir)).toEqual([]);
  });

  test.each([
    [[]],
    [["--out", ""]],
    [["--out", "/"]],
    [["--out", "/x", "--arch", "ia32"]],
    [["--out", "/x", "y"]],
  ])("misused (%j) exits 2", async (args) => {
    expect(await launcher(...args)).toBe(2);
  });
});
