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
import { InstallNode, inodes } from "./install-node.ts";
import { BINARY, destroySandboxes, type Finished, must, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

let node: InstallNode;
beforeEach(() => {
  node = new InstallNode();
});

describe("the plugins' folder", () => {
  test("gets minicni and loopback, that run; the second install leaves both alone", () => {
    expect(node.install()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(node.isOurs("minicni")).toBe(true);
    expect(statSync(`${node.bin}/minicni`).mode & 0o777).toBe(0o755);
    expect(readlinkSync(`${node.bin}/loopback`)).toBe("minicni");
    const before = inodes(node.bin);
    expect(node.install()).toMatchObject({ exitCode: 0, stdout: `${node.bin}: as it should be\n` });
    expect(inodes(node.bin)).toEqual(before);
    for (const name of ["minicni", "loopback"]) {
      const done = run([`${node.bin}/${name}`], { env: { CNI_COMMAND: "VERSION" } });
      expect(JSON.parse(done.stdout).supportedVersions).toContain("1.1.0");
    }
  });

  test("an older binary is replaced while it runs, and goes on running", async () => {
    copyFileSync("/bin/sleep", `${node.bin}/minicni`);
    const running = Bun.spawn({ cmd: [`${node.bin}/minicni`, "60"], stdout: "ignore" });
    try {
      expect(node.install().exitCode).toBe(0);
      expect(node.isOurs("minicni")).toBe(true);
      expect(readlinkSync(`/proc/${running.pid}/exe`)).toContain("(deleted)");
      expect(running.exitCode).toBeNull();
    } finally {
      running.kill("SIGKILL");
      await running.exited;
    }
    expect(readdirSync(node.bin).sort()).toEqual(["loopback", "minicni"]);
  });

  test("what a killed installer left is replaced, wherever it leads", () => {
    const elsewhere = `${node.box.dir}/elsewhere`;
    writeFileSync(elsewhere, "mine");
    symlinkSync(elsewhere, `${node.bin}/minicni.tmp`);
    expect(node.install().exitCode).toBe(0);
    expect(readFileSync(elsewhere, "utf8")).toBe("mine");
    writeFileSync(`${node.bin}/minicni.tmp`, "half");
    expect(node.install().stdout).toContain(`rm -f ${node.bin}/minicni.tmp`);
    expect(readdirSync(node.bin).sort()).toEqual(["loopback", "minicni"]);
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
    expect(node.isOurs("minicni")).toBe(true);
    expect(readdirSync(node.bin).sort()).toEqual(["loopback", "minicni"]);
  });

  test.each([0o644, 0o4755, 0o777])("the right binary with the mode %i gets its own", (mode) => {
    node.install();
    chmodSync(`${node.bin}/minicni`, mode);
    expect(node.install().exitCode).toBe(0);
    expect(statSync(`${node.bin}/minicni`).mode & 0o7777).toBe(0o755);
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

  test("that is on a disk without a free inode is named whole", () => {
    node.bin = `${node.box.dir}/disk`;
    node.box.mountTmpfs(node.bin, "size=200m,nr_inodes=2");
    copyFileSync(BINARY, `${node.bin}/minicni`);
    chmodSync(`${node.bin}/minicni`, 0o755);
    const done = node.install();
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain(`make room in the file system of ${node.bin}: see df ${node.bin}`);
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

  test("a folder in the binary's place is refused", () => {
    mkdirSync(`${node.bin}/minicni`);
    const done = node.install();
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain(`${node.bin}/minicni is no file`);
    expect(readdirSync(node.bin)).toEqual(["minicni"]);
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

describe("on a disk that can't be written", () => {
  /** The node's folder of plugins on a file system of its own. */
  function mounted(options: string): void {
    node.bin = `${node.box.dir}/disk`;
    node.box.mountTmpfs(node.bin, options);
  }

  /** What was there, and nothing else; and what was said of it. */
  function expectAsBefore(done: Finished, text: string): void {
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toMatch(/minicni [0-9.]+ \(sha256 [0-9a-f]{12}\): .* has another one \(sha256 /);
    expect(done.stderr).toContain(node.bin);
    expect(done.stderr).toContain("to do: ");
    expect(readFileSync(`${node.bin}/minicni`, "utf8")).toBe(text);
    expect(readdirSync(node.bin)).toEqual(["minicni"]);
  }

  test("and has the right content already, all is well", () => {
    mounted("size=200m");
    node.install();
    must("mount", "-o", "remount,ro", node.bin);
    expect(node.install()).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("read-only with another binary: it stays", () => {
    mounted("size=8m");
    writeFileSync(`${node.bin}/minicni`, "old");
    must("mount", "-o", "remount,ro", node.bin);
    const done = node.install();
    expectAsBefore(done, "old");
    expect(done.stderr).toContain("read-only");
  });

  test("full: the binary of before stays, and the half copy goes", () => {
    mounted("size=8m");
    writeFileSync(`${node.bin}/minicni`, "old");
    const done = node.install();
    expectAsBefore(done, "old");
    expect(done.stderr).toContain("ENOSPC");
    expect(done.stderr).toContain(`df ${node.bin}`);
  });

  test("a folder of others: told to be root", () => {
    const other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    writeFileSync(`${node.bin}/minicni`, "old");
    chmodSync(node.box.dir, 0o755);
    const done = run([...other, BINARY, "install", "--bin-dir", node.bin, "--conf-dir", node.conf]);
    expectAsBefore(done, "old");
    expect(done.stderr).toContain("run as root");
  });
});

describe("the command", () => {
  test("with --dry-run prints what it would do, exits 3, and does nothing", () => {
    const done = node.install("--dry-run");
    expect(done.exitCode).toBe(3);
    expect(done.stdout.replace(/sha256 [0-9a-f]{12}/, "sha256 X").replaceAll(node.bin, "BIN")).toBe(
      [
        "# minicni 0.1.0 (sha256 X): BIN has none",
        `install -m 0755 ${BINARY} BIN/minicni`,
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
