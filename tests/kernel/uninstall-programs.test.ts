import { afterAll, afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { destroyNodes } from "./agent.ts";
import { BINARY, must, run } from "./sandbox.ts";
import { UninstallNode } from "./uninstall-node.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

let node: UninstallNode;
beforeEach(() => {
  node = new UninstallNode([4]);
  writeFileSync(`${node.binDir}/bridge`, "theirs");
});

/** What uninstall prints, below the folder of plugins. */
function commands(stdout: string): string[] {
  const lines = stdout.replaceAll(node.binDir, "BIN").split("\n");
  return lines.filter((line) => line.includes(" BIN/"));
}

const GO_CONF = { cniVersion: "0.1.0", name: "minicni", type: "minicni", subnet: "10.244.1.0/24" };
const REMOVAL = ["rm -f BIN/loopback", "rm -f BIN/minicni", "rm -f BIN/minicni-standalone"];

test("both programs go, run by what they are themselves, with what killed installers left", () => {
  node.install();
  for (const name of ["minicni", "minicni-standalone"]) writeFileSync(`${node.binDir}/${name}.tmp`, "half");
  const [nsenter = "", net = "", , ...words] = node.argvOfUninstall();
  const done = run([nsenter, net, `${node.binDir}/minicni`, ...words]);
  expect(done.exitCode).toBe(0);
  expect(commands(done.stdout)).toEqual([
    "rm -f BIN/minicni.tmp",
    "rm -f BIN/minicni-standalone.tmp",
    ...REMOVAL,
  ]);
  expect(readdirSync(node.binDir)).toEqual(["bridge"]);
});

test("a launcher that can't be removed keeps what it executes; the next run goes on", () => {
  node.install();
  const launcher = `${node.binDir}/minicni`;
  // The name of a mount can't be removed.
  must("mount", "--bind", launcher, launcher);
  try {
    const refused = node.uninstall();
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(`\`rm -f ${launcher}\` failed: EBUSY`);
    expect(refused.stderr).toContain(`left: rm -f ${launcher}-standalone`);
    expect(run([launcher, "--version"]).exitCode).toBe(0);
  } finally {
    must("umount", launcher);
  }
  const done = node.uninstall();
  expect(done.exitCode).toBe(0);
  expect(commands(done.stdout)).toEqual(REMOVAL.slice(1));
  expect(readdirSync(node.binDir)).toEqual(["bridge"]);
});

test("the one binary of before, and links of others to either program", () => {
  copyFileSync(BINARY, `${node.binDir}/minicni`);
  symlinkSync("minicni-standalone", `${node.binDir}/loopback`);
  expect(node.uninstall().exitCode).toBe(0);
  expect(readdirSync(node.binDir)).toEqual(["bridge"]);
});

test("where an installer was killed before it replaced Go minicni's plugin, that stays, and nothing of ours", () => {
  node.install();
  for (const name of ["minicni", "loopback"]) rmSync(`${node.binDir}/${name}`);
  writeFileSync(`${node.binDir}/minicni`, "the Go plugin", { mode: 0o755 });
  writeFileSync(`${node.confDir}/10-minicni.conf`, JSON.stringify(GO_CONF));
  expect(node.uninstall().exitCode).toBe(0);
  expect(readdirSync(node.binDir).sort()).toEqual(["bridge", "minicni"]);
  expect(readFileSync(`${node.binDir}/minicni`, "utf8")).toBe("the Go plugin");
});

test("where one was killed before it renamed Go minicni's configuration, the launcher is known, and goes", () => {
  node.install();
  writeFileSync(`${node.confDir}/10-minicni.conf`, JSON.stringify(GO_CONF));
  const done = node.uninstall();
  expect(done.exitCode).toBe(0);
  expect(commands(done.stdout)).toEqual(REMOVAL);
  expect(readdirSync(node.binDir)).toEqual(["bridge"]);
  expect(readdirSync(node.confDir)).toEqual(["10-minicni.conf"]);
});
