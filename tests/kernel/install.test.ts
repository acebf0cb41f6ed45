import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { INSTALLED, InstallNode, inodes } from "./install-node.ts";
import { BINARY, destroySandboxes, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const PROGRAMS = ["minicni", "minicni-standalone"];

let node: InstallNode;
beforeEach(() => {
  node = new InstallNode();
});

describe("the plugins' folder", () => {
  test("gets minicni, what it executes and loopback, that run; the second install leaves all alone", () => {
    expect(node.install()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(node.isWhole()).toBe(true);
    for (const name of PROGRAMS) expect(statSync(`${node.bin}/${name}`).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(`${node.bin}/loopback`)).toBe("minicni");
    const before = inodes(node.bin);
    expect(node.install()).toMatchObject({ exitCode: 0, stdout: `${node.bin}: as it should be\n` });
    expect(inodes(node.bin)).toEqual(before);
    for (const name of INSTALLED) {
      const done = run([`${node.bin}/${name}`], { env: { CNI_COMMAND: "VERSION" } });
      expect(JSON.parse(done.stdout).supportedVersions).toContain("1.1.0");
    }
  });

  test("an older binary is replaced while it runs, and goes on running", async () => {
    copyFileSync("/bin/sleep", `${node.bin}/minicni`);
    const running = Bun.spawn({ cmd: [`${node.bin}/minicni`, "60"], stdout: "ignore" });
    try {
      expect(node.install().exitCode).toBe(0);
      expect(node.isWhole()).toBe(true);
      expect(readlinkSync(`/proc/${running.pid}/exe`)).toContain("(deleted)");
      expect(running.exitCode).toBeNull();
    } finally {
      running.kill("SIGKILL");
      await running.exited;
    }
    expect(readdirSync(node.bin).sort()).toEqual(INSTALLED);
  });

  test("what a killed installer left is replaced, wherever it leads", () => {
    const elsewhere = `${node.box.dir}/elsewhere`;
    writeFileSync(elsewhere, "mine");
    for (const name of PROGRAMS) symlinkSync(elsewhere, `${node.bin}/${name}.tmp`);
    expect(node.install().exitCode).toBe(0);
    expect(readFileSync(elsewhere, "utf8")).toBe("mine");
    for (const name of PROGRAMS) writeFileSync(`${node.bin}/${name}.tmp`, "half");
    const done = node.install();
    for (const name of PROGRAMS) expect(done.stdout).toContain(`rm -f ${node.bin}/${name}.tmp`);
    expect(readdirSync(node.bin).sort()).toEqual(INSTALLED);
  });

  test("several installers at once: all succeed, and the plugin answers every call meanwhile", async () => {
    copyFileSync("/bin/true", `${node.bin}/minicni`);
    const argv = node.argv();
    const installers = [1, 2, 3, 4].map(() =>
      Bun.spawn({ cmd: [...argv], stdout: "ignore", stderr: "inherit" }),
    );
    const codes = Promise.all(installers.map((child) => child.exited));
    let isDone = false;
    codes.then(() => {
      isDone = true;
    });
    let calls = 0;
    for (; !isDone || calls === 0; calls++) {
      const call = Bun.spawn([`${node.bin}/minicni`], { env: { CNI_COMMAND: "VERSION" }, stdout: "ignore" });
      expect(await call.exited).toBe(0);
    }
    expect(await codes).toEqual([0, 0, 0, 0]);
    expect(node.isWhole()).toBe(true);
    expect(readdirSync(node.bin).sort()).toEqual(INSTALLED);
  });

  test("the one binary of before becomes the launcher, behind what that executes", () => {
    copyFileSync(BINARY, `${node.bin}/minicni`);
    symlinkSync("minicni", `${node.bin}/loopback`);
    const { exitCode, stdout, stderr } = node.install();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const commands = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(commands.map((line) => line.split(" ").at(-1))).toEqual([
      `${node.bin}/minicni-standalone`,
      `${node.bin}/minicni`,
    ]);
    expect(node.isWhole()).toBe(true);
    expect(readdirSync(node.bin).sort()).toEqual(INSTALLED);
  });

  test("where an installer was killed before the launcher, the next one leaves the full binary alone", () => {
    node.install();
    rmSync(`${node.bin}/minicni`);
    const standalone = inodes(node.bin).find(([name]) => name === "minicni-standalone");
    const { exitCode, stdout } = node.install();
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`minicni launcher --out ${node.bin}/minicni\n`);
    expect(stdout).not.toContain("install -m");
    expect(inodes(node.bin)).toContainEqual(standalone ?? ["", 0]);
    expect(node.isWhole()).toBe(true);
  });

  test("an installer that is killed at any time leaves a plugin that runs; the next one finishes", async () => {
    copyFileSync("/bin/true", `${node.bin}/minicni`);
    for (const delayMs of [30, 60, 90, 120, 150, 200, 300]) {
      const installer = Bun.spawn({ cmd: [...node.argv()], stdout: "ignore", stderr: "ignore" });
      await Bun.sleep(delayMs);
      installer.kill("SIGKILL");
      await installer.exited;
      const call = run([`${node.bin}/minicni`], { env: { CNI_COMMAND: "VERSION" } });
      expect({ delayMs, exitCode: call.exitCode }).toEqual({ delayMs, exitCode: 0 });
    }
    expect(node.install().exitCode).toBe(0);
    expect(node.isWhole()).toBe(true);
    expect(readdirSync(node.bin).sort()).toEqual(INSTALLED);
  });

  test("brings itself up to date by what it installed", () => {
    node.install();
    rmSync(`${node.bin}/loopback`);
    const done = run([`${node.bin}/minicni`, "install", "--bin-dir", node.bin, "--conf-dir", node.conf]);
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readdirSync(node.bin).sort()).toEqual(INSTALLED);
  });

  test.each([0o644, 0o4755, 0o777])("the right programs with the mode %i get their own", (mode) => {
    node.install();
    for (const name of PROGRAMS) chmodSync(`${node.bin}/${name}`, mode);
    expect(node.install().exitCode).toBe(0);
    for (const name of PROGRAMS) expect(statSync(`${node.bin}/${name}`).mode & 0o7777).toBe(0o755);
  });

  test("a link of somebody's to the plugin is taken for loopback, and goes with it", () => {
    symlinkSync(`${node.bin}/minicni`, `${node.bin}/loopback`);
    expect(node.install()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readlinkSync(`${node.bin}/loopback`)).toBe(`${node.bin}/minicni`);
  });

  test.each<[string, (path: string) => void]>([
    ["a folder", (path) => mkdirSync(path)],
    ["an empty file", (path) => writeFileSync(path, "", { mode: 0o755 })],
    ["a file that can't be run", (path) => writeFileSync(path, "x", { mode: 0o644 })],
  ])("a loopback that is %s is told, and left alone", (_what, make) => {
    make(`${node.bin}/loopback`);
    const done = node.install();
    expect(done.exitCode).toBe(0);
    expect(done.stderr).toContain(`${node.bin}/loopback is no program that can be run, and is left alone`);
  });

  test("another loopback is never touched, a link that leads nowhere is named", () => {
    writeFileSync(`${node.bin}/loopback`, "theirs", { mode: 0o755 });
    expect(node.install()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readFileSync(`${node.bin}/loopback`, "utf8")).toBe("theirs");
    rmSync(`${node.bin}/loopback`);
    symlinkSync("nothing", `${node.bin}/loopback`);
    const done = node.install();
    expect(done.exitCode).toBe(0);
    expect(done.stderr).toContain(`rm ${node.bin}/loopback`);
    expect(readlinkSync(`${node.bin}/loopback`)).toBe("nothing");
  });

  test.each(PROGRAMS)("a folder in the place of %s is refused before anything is done", (name) => {
    mkdirSync(`${node.bin}/${name}`);
    const done = node.install();
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain(`${node.bin}/${name} is no file`);
    expect(readdirSync(node.bin)).toEqual([name]);
  });

  test("that is not there is told, with the command that makes it", () => {
    rmSync(node.bin, { recursive: true });
    const done = node.install();
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain(`${node.bin} is no folder`);
    expect(done.stderr).toContain(`to do: make it: mkdir -p ${node.bin};`);
    expect(node.install("--dry-run")).toMatchObject({ exitCode: 1, stdout: "" });
  });
});

describe("the command", () => {
  test("with --dry-run prints what it would do, exits 3, and does nothing", () => {
    const done = node.install("--dry-run");
    expect(done.exitCode).toBe(3);
    expect(done.stdout.replace(/sha256 [0-9a-f]{12}/g, "sha256 X").replaceAll(node.bin, "BIN")).toBe(
      [
        "# minicni 0.1.0 (sha256 X): BIN has none",
        `install -m 0755 ${BINARY} BIN/minicni-standalone`,
        "# launcher of minicni 0.1.0 (sha256 X): BIN has none",
        "minicni launcher --out BIN/minicni",
        "# BIN has no loopback, which containerd needs",
        "ln -s minicni BIN/loopback",
        "",
      ]
        .join("\n")
        .replace(BINARY, run(["realpath", BINARY]).stdout.trim()),
    );
    expect(readdirSync(node.bin)).toEqual([]);
    node.install();
    expect(node.install("--dry-run")).toMatchObject({ exitCode: 0, stdout: "# nothing to change\n" });
  });

  test("takes its folders from the environment, an empty variable for the default", () => {
    const env = { MINICNI_BIN_DIR: node.bin, MINICNI_CONF_DIR: node.conf, MINICNI_STATE_DIR: "" };
    expect(run(node.box.argv("install"), { env }).exitCode).toBe(0);
    expect(existsSync(`${node.bin}/minicni`)).toBe(true);
  });

  test.each([[["--bin-dir", "bin"]], [["--bin-dir", "/"]], [["--nothing"]], [["extra"]]])(
    "misused (%j) exits 2",
    (words) => {
      expect(run(node.box.argv("install", "--conf-dir", node.conf, ...words)).exitCode).toBe(2);
      expect(readdirSync(node.bin)).toEqual([]);
    },
  );
});
