import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

const ROOT = `${import.meta.dir}/../..`;
const DIR = mkdtempSync(`${tmpdir()}/minicni-chunks-`);
afterAll(() => rmSync(DIR, { recursive: true, force: true }));

/** Ten when this was written; each one more costs every call of the plugin some 15 µs, and a new door may add twenty. */
const MOST = 14;

/** Files that are loaded with one, itself among them: what it imports at once, and what these do. */
function loadedWith(name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const text = readFileSync(`${DIR}/${name}`, "utf8");
  for (const [, next = ""] of text.matchAll(/(?:\bfrom|\bimport)\s*"\.\/([^"]+)"/g)) loadedWith(next, found);
  return found;
}

test("a call of the plugin loads a handful of files, whatever commands there are", () => {
  // As the Makefile builds it, but for what makes one executable of it.
  const flags = ["--minify", "--format=esm", "--splitting", "--target=bun"];
  const built = Bun.spawnSync({
    cmd: [process.execPath, "build", ...flags, `${ROOT}/src/entry/main.ts`, "--outdir", DIR],
    stdout: "ignore",
    stderr: "pipe",
  });
  expect([built.exitCode, built.exitCode === 0 ? "" : built.stderr.toString()]).toEqual([0, ""]);
  const loaded = loadedWith("main.js");
  expect(loaded.size).toBeGreaterThan(1);
  expect(loaded.size).toBeLessThanOrEqual(MOST);
});
