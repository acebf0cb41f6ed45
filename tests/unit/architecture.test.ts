import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { importsOf, MAX_LINES, RULES, type SourceFile } from "./architecture-rules.ts";

const ROOT = `${import.meta.dir}/../..`;

/** Every file of src and tests, and the lock file; the text only of what a rule reads. */
function projectFiles(): SourceFile[] {
  const glob = new Bun.Glob("{src,tests}/**/*");
  const found = [...glob.scanSync({ cwd: ROOT, onlyFiles: true })].sort();
  return [...found, "package-lock.json"].map((path) => ({
    path,
    text: /\.(ts|json)$/.test(path) ? readFileSync(`${ROOT}/${path}`, "utf8") : "",
  }));
}

const FILES = projectFiles();

/** The offences of one rule, each on its line, with the reason behind; empty when all is well. */
function report(name: string, files: readonly SourceFile[]): string {
  const rule = RULES.find((known) => known.name === name);
  if (rule === undefined) return `no rule is called ${name}`;
  const offences = files.flatMap(rule.offences);
  return offences.length === 0 ? "" : `${offences.join("\n")}\nWhy this is a rule: ${rule.reason}`;
}

describe("the project keeps the rule of", () => {
  test("having files to look at", () => {
    expect(FILES.filter(({ path }) => path.startsWith("src/")).length).toBeGreaterThan(30);
  });

  test.each(RULES.map(({ name }) => name))("%s", (name) => {
    expect(report(name, FILES)).toBe("");
  });
});

describe("each rule can fail", () => {
  const lines = (count: number) => "x\n".repeat(count);

  test.each([
    ["import directions", "src/net/a.ts", 'import { x } from "../cni/x.ts";'],
    ["import directions", "src/cni/a.ts", 'import type { X } from "../ipam/x.ts";'],
    ["import directions", "src/ipam/a.ts", 'import {\n  x,\n} from "../plan/x.ts";'],
    ["import directions", "src/plan/a.ts", 'export { x } from "../topology/x.ts";'],
    ["import directions", "src/topology/a.ts", 'import { x } from "../host/x.ts";'],
    ["import directions", "src/wasm/a.ts", 'import "../host/x.ts";'],
    ["import directions", "src/host/a.ts", 'const x = await import("../entry/x.ts");'],
    ["import directions", "src/kube/a.ts", 'import { x } from "../cni/x.ts";'],
    ["import directions", "src/entry/a.ts", 'import { x } from "../../tests/twin/pool.ts";'],
    ["import directions", "src/entry/lab/a.ts", 'import wasm from "../../../wasm/build/minicni.wasm";'],
    ["import directions", "src/other/a.ts", ""],
    ["packages by room", "src/entry/a.ts", 'import * as v from "valibot";'],
    ["packages by room", "src/entry/a.ts", 'import { Command } from "commander";'],
    ["packages by room", "src/host/a.ts", 'const x = await import("ip-cidr");'],
    ["packages by room", "src/net/a.ts", 'import { dlopen } from "bun:ffi";'],
    ["packages by room", "src/entry/add.ts", 'import { readFileSync } from "node:fs";'],
    ["packages by room", "src/host/a.ts", 'import x from "left-pad";'],
    ["console.", "src/entry/a.ts", "console.log(1);"],
    ["any", "src/net/a.ts", "const x: any = 1;"],
    ["any", "src/net/a.ts", "const x = y as any;"],
    ["Bun.spawn", "src/entry/a.ts", 'Bun.spawnSync(["ip"]);'],
    ["process.stdout", "src/entry/a.ts", 'process.stdout.write("x");'],
    ["open ends", "src/net/a.ts", "// TODO: later"],
    ["open ends", "src/net/a.ts", "/* FIXME */"],
    ["file length", "tests/unit/a.test.ts", lines(MAX_LINES + 1)],
    ["names", "src/net/utils.ts", ""],
    ["names", "tests/helpers/a.ts", ""],
    ["names", "src/common/a.ts", ""],
    ["names", "src/host/manager.test.ts", ""],
    ["lock file", "package-lock.json", '"resolved": "https://mirror.example/x.tgz"'],
    ["lock file", "package-lock.json", '"x": "https://registry.example/x"'],
  ])("%s: by %s with %j", (name, path, text) => {
    expect(report(name, [{ path, text }])).toContain(`${path}`);
    expect(report(name, [{ path, text }])).toContain("Why this is a rule: ");
  });
});

describe("no rule fails for", () => {
  test.each([
    ["a word in a comment", "src/net/a.ts", "/** Not by Bun.spawn or console.log. */ // process.stdout"],
    ["a word in a message", "src/net/a.ts", 'throw new Error("wanted: any address");'],
    ["a type import downwards", "src/topology/a.ts", 'import type { A } from "../ipam/a.ts";'],
    ["a neighbour", "src/net/a.ts", 'import { b } from "./b.ts";'],
    ["commander on demand", "src/entry/cli.ts", 'const { Command } = await import("commander");'],
    ["the lab's own imports", "src/entry/lab/a.ts", 'import { Command } from "commander";\nprocess.stdout;'],
    ["a child of the host", "src/host/spawn.ts", "Bun.spawnSync(argv);"],
    [
      "the embedded module",
      "src/wasm/module.ts",
      'import p from "../../wasm/build/minicni.wasm" with { type: "file" };',
    ],
    ["a file of the longest length", "src/net/a.ts", "x\n".repeat(MAX_LINES)],
    ["a funding address", "package-lock.json", '"url": "https://github.com/sponsors/x"'],
  ])("%s", (_what, path, text) => {
    expect(RULES.map(({ name }) => report(name, [{ path, text }])).join("")).toBe("");
  });

  test("an import it did not see: every form is found", () => {
    const text =
      'import a from "a";\nimport "b";\nexport * from "c";\nawait import("d");\n// from "e"\nimport type {\n  F,\n} from "f";';
    expect(importsOf(text).map(({ from }) => from)).toEqual(["a", "b", "c", "d", "f"]);
  });
});
