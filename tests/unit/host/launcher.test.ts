import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { HostError } from "../../../src/host/errors.ts";
import { changeFile, digestBytes, digestFile } from "../../../src/host/file-steps.ts";
import { LAUNCHER_ARCHITECTURES, readLauncher } from "../../../src/host/launcher.ts";
import { STANDALONE } from "../../../src/topology/install.ts";
import { thrown } from "../../twin/words.ts";
import { importsOf } from "../architecture-rules.ts";

const dir = mkdtempSync(`${tmpdir()}/minicni-launcher-`);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** `e_machine` of ELF files. */
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

describe("the embedded launcher", () => {
  test.each([...LAUNCHER_ARCHITECTURES])(
    "for %s is a program for it, that names what it executes",
    (name) => {
      const bytes = Buffer.from(readLauncher(name));
      expect(bytes.subarray(0, 4).toString("latin1")).toBe("\x7fELF");
      expect(bytes.readUInt16LE(18)).toBe(MACHINES[name] ?? 0);
      // By this uninstall knows it.
      expect(bytes.includes(STANDALONE)).toBe(true);
      expect(bytes.length).toBeLessThan(100_000);
    },
  );

  test.each(["ia32", "toString"])("for %s is none", (name) => {
    const error = thrown(() => readLauncher(name));
    expect(error).toBeInstanceOf(HostError);
    expect(error).toMatchObject({ hint: "minicni runs on x64 and arm64" });
  });
});

test("no CNI call loads it: the program imports it on demand only", () => {
  const root = `${import.meta.dir}/../../../src`;
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const imports = importsOf(readFileSync(path, "utf8")).filter(({ isDynamic }) => !isDynamic);
    for (const { from } of imports) if (/^\..*\.ts$/.test(from)) visit(resolve(path, "..", from));
  };
  visit(resolve(root, "entry/main.ts"));
  visit(resolve(root, "entry/loopback.ts"));
  visit(resolve(root, "entry/cli.ts"));
  expect(seen).toContain(resolve(root, "host/file-steps.ts"));
  expect(seen).not.toContain(resolve(root, "host/launcher.ts"));
});

describe("file.launcher", () => {
  test("writes the bytes with the mode, whatever the umask, over what was there", () => {
    const [to, content] = [`${dir}/minicni`, new Uint8Array([1, 0, 255])];
    writeFileSync(to, "old");
    const before = process.umask(0o077);
    try {
      changeFile({ op: "file.launcher", content, to, mode: 0o755 });
    } finally {
      process.umask(before);
    }
    expect(new Uint8Array(readFileSync(to))).toEqual(content);
    expect(statSync(to).mode & 0o777).toBe(0o755);
    expect(digestFile(to)).toBe(digestBytes(content));
    expect(readdirSync(dir)).toEqual(["minicni"]);
  });

  test("refused leaves what was there, and no temp file", () => {
    mkdirSync(`${dir}/folder/minicni`, { recursive: true });
    const to = `${dir}/folder/minicni`;
    const content = new Uint8Array([1]);
    expect(thrown(() => changeFile({ op: "file.launcher", content, to, mode: 0o755 }))).toBeInstanceOf(
      HostError,
    );
    expect(readdirSync(`${dir}/folder`)).toEqual(["minicni"]);
  });
});
