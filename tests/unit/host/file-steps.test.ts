import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { HostError } from "../../../src/host/errors.ts";
import { changeFile, digestFile, observeFile } from "../../../src/host/file-steps.ts";
import { createHost } from "../../../src/host/linux.ts";
import { HOST } from "../../../src/plan/step.ts";
import { thrown } from "../../twin/words.ts";

const root = mkdtempSync(`${tmpdir()}/minicni-files-`);
afterAll(() => rmSync(root, { recursive: true, force: true }));

let dir = "";
let count = 0;
beforeEach(() => {
  dir = `${root}/${++count}`;
  mkdirSync(dir);
});

const refused = (operation: Parameters<typeof changeFile>[0]) => thrown(() => changeFile(operation));

describe("file.install", () => {
  test("copies what is bigger than a chunk, with the mode, whatever the umask", () => {
    const bytes = new Uint8Array(3_000_001).map((_, index) => index % 251);
    writeFileSync(`${dir}/from`, bytes);
    const before = process.umask(0o077);
    try {
      changeFile({ op: "file.install", from: `${dir}/from`, to: `${dir}/to`, mode: 0o755 });
    } finally {
      process.umask(before);
    }
    expect(readFileSync(`${dir}/to`).equals(bytes)).toBe(true);
    expect(statSync(`${dir}/to`).mode & 0o777).toBe(0o755);
    expect(readdirSync(dir).sort()).toEqual(["from", "to"]);
  });

  test("replaces a link itself, never what it leads to", () => {
    writeFileSync(`${dir}/from`, "new");
    writeFileSync(`${dir}/elsewhere`, "theirs");
    symlinkSync("elsewhere", `${dir}/to`);
    changeFile({ op: "file.install", from: `${dir}/from`, to: `${dir}/to`, mode: 0o644 });
    expect(lstatSync(`${dir}/to`).isFile()).toBe(true);
    expect(readFileSync(`${dir}/elsewhere`, "utf8")).toBe("theirs");
  });

  test("without its source leaves what was there, and no temp file", () => {
    writeFileSync(`${dir}/to`, "old");
    const error = refused({ op: "file.install", from: `${dir}/none`, to: `${dir}/to`, mode: 0o755 });
    expect(error).toBeInstanceOf(HostError);
    expect(error).toMatchObject({ hint: `see what is there: ls -l ${dir}` });
    expect(readFileSync(`${dir}/to`, "utf8")).toBe("old");
    expect(readdirSync(dir)).toEqual(["to"]);
  });

  test("into a folder that is not there says how to make it", () => {
    writeFileSync(`${dir}/from`, "new");
    const error = refused({ op: "file.install", from: `${dir}/from`, to: `${dir}/none/to`, mode: 0o755 });
    expect(error).toMatchObject({ hint: `make the folder first: mkdir -p ${dir}/none` });
  });
});

describe("links, names and folders", () => {
  test("file.link makes either kind, and refuses a name that is taken", () => {
    writeFileSync(`${dir}/a`, "x");
    changeFile({ op: "file.link", kind: "symbolic", path: `${dir}/soft`, target: "a" });
    changeFile({ op: "file.link", kind: "hard", path: `${dir}/hard`, target: `${dir}/a` });
    expect(readlinkSync(`${dir}/soft`)).toBe("a");
    expect(statSync(`${dir}/hard`).ino).toBe(statSync(`${dir}/a`).ino);
    for (const kind of ["symbolic", "hard"] as const) {
      const error = refused({ op: "file.link", kind, path: `${dir}/soft`, target: `${dir}/a` });
      expect(error).toBeInstanceOf(HostError);
    }
  });

  test("file.rename does not replace", () => {
    writeFileSync(`${dir}/a`, "a");
    writeFileSync(`${dir}/b`, "b");
    const error = refused({ op: "file.rename", from: `${dir}/a`, to: `${dir}/b` });
    expect(error).toBeInstanceOf(HostError);
    expect(error).toMatchObject({ hint: `see what it is, and move it away: ls -ld ${dir}/b` });
    expect(readFileSync(`${dir}/b`, "utf8")).toBe("b");
    changeFile({ op: "file.rename", from: `${dir}/a`, to: `${dir}/c` });
    expect(readdirSync(dir).sort()).toEqual(["b", "c"]);
  });

  test("file.remove and folder.remove take what is gone for removed, and no folder with something in it", () => {
    mkdirSync(`${dir}/f`);
    writeFileSync(`${dir}/f/a`, "");
    expect(refused({ op: "folder.remove", path: `${dir}/f` })).toMatchObject({
      hint: expect.stringContaining("ls -A"),
    });
    for (let times = 0; times < 2; times++) {
      changeFile({ op: "file.remove", path: `${dir}/f/a` });
      if (times === 0) changeFile({ op: "folder.remove", path: `${dir}/f` });
    }
    changeFile({ op: "folder.remove", path: `${dir}/f` });
    expect(existsSync(`${dir}/f`)).toBe(false);
  });
});

test("a refusal of the kernel is told as it is, with the names of what may be behind it", () => {
  const error = refused({ op: "file.remove", path: "/proc/version" });
  expect(error).toMatchObject({ message: expect.stringMatching(/^E(PERM|ACCES): /) });
  expect(error).toMatchObject({ hint: expect.stringContaining("lsattr -d /proc /proc/version") });
});

test("an atomic step that is refused is not taken back: what bears the name is somebody else's", async () => {
  writeFileSync(`${dir}/a`, "ours");
  writeFileSync(`${dir}/a.kept`, "theirs");
  const link = {
    op: "file.link",
    kind: "hard",
    path: `${dir}/a.kept`,
    target: `${dir}/a`,
    netns: HOST,
    why: "a test",
    undo: { op: "file.remove", path: `${dir}/a.kept` },
    isAtomic: true,
  } as const;
  await expect(createHost().execute([link])).rejects.toThrow("EEXIST");
  expect(readFileSync(`${dir}/a.kept`, "utf8")).toBe("theirs");
});

test("observeFile tells what is at a path itself", () => {
  writeFileSync(`${dir}/a`, "abc", { mode: 0o640 });
  symlinkSync("none", `${dir}/l`);
  expect(observeFile(`${dir}/a`)).toEqual({ kind: "file", bytes: 3, mode: 0o640 });
  expect(observeFile(`${dir}/l`)).toEqual({ kind: "link", target: "none" });
  expect(observeFile(dir)).toEqual({ kind: "folder" });
  expect(observeFile("/dev/null")).toEqual({ kind: "other" });
  expect([observeFile(`${dir}/none`), observeFile(`${dir}/a/b`)]).toEqual([null, null]);
});

test("digestFile is SHA-256", () => {
  writeFileSync(`${dir}/a`, "abc");
  // FIPS 180-2, appendix B.1.
  expect(digestFile(`${dir}/a`)).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});
