import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";

const ROOT = `${import.meta.dir}/../../..`;
const FOLDER = `${ROOT}/.github/workflows`;
const FILES = readdirSync(FOLDER);

/** The values of a key anywhere in parsed YAML. */
function valuesOf(node: unknown, key: string): unknown[] {
  if (typeof node !== "object" || node === null) return [];
  return Object.entries(node).flatMap(([name, value]) => [
    ...(name === key ? [value] : []),
    ...valuesOf(value, key),
  ]);
}

const parse = (file: string): unknown => Bun.YAML.parse(readFileSync(`${FOLDER}/${file}`, "utf8"));
const targets = new Set(
  [...readFileSync(`${ROOT}/Makefile`, "utf8").matchAll(/^([a-z-]+):/gm)].map(([, name]) => name),
);

describe("the workflows", () => {
  test("are those of tests and of a release", () => {
    expect(FILES.sort()).toEqual(["ci.yml", "release.yml"]);
  });

  test.each(FILES)("%s only calls make targets that there are, but for a setting of git", (file) => {
    const commands = valuesOf(parse(file), "run").map(String);
    const called = commands.filter((command) => !command.startsWith("git config "));
    expect(called.length).toBeGreaterThan(0);
    for (const command of called) {
      const target = /^make ([a-z-]+)( [A-Z]+="\$[A-Z_]+")*$/.exec(command)?.[1];
      expect({ command, isTarget: target !== undefined && targets.has(target) }).toEqual({
        command,
        isTarget: true,
      });
    }
  });

  test.each(FILES)(
    "%s starts with no right but reading, and names the major version of each action",
    (file) => {
      const workflow = parse(file);
      expect(valuesOf(workflow, "permissions")[0]).toEqual({ contents: "read" });
      const actions = valuesOf(workflow, "uses").map(String);
      expect(actions.filter((action) => !/^[\w-]+\/[\w-]+@v\d+$/.test(action))).toEqual([]);
    },
  );
});

describe("CHANGELOG.md", () => {
  test("has a section for the version of package.json", () => {
    const { version }: { version: string } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));
    expect(readFileSync(`${ROOT}/CHANGELOG.md`, "utf8")).toMatch(new RegExp(`^## \\[${version}\\] - `, "m"));
  });
});
