import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { InstallNode, inodes } from "./install-node.ts";
import { BINARY, destroySandboxes, type Finished, must, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

let node: InstallNode;
beforeEach(() => {
  node = new InstallNode();
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
    expect(done.stderr).toMatch(/minicni [0-9.]+ \(sha256 [0-9a-f]{12}\): .* has none/);
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

  test("without room for a new full binary: both of before stay, and run", () => {
    mounted("size=200m");
    node.install();
    writeFileSync(`${node.bin}/minicni`, "old");
    // Larger than the disk has room for once more.
    must("truncate", "-s", "+1", `${node.bin}/minicni-standalone`);
    must("dd", "if=/dev/zero", `of=${node.bin}/filler`, "bs=1M", "count=40", "status=none");
    const before = inodes(node.bin);
    const done = node.install();
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain("ENOSPC");
    expect(inodes(node.bin)).toEqual(before);
    expect(readFileSync(`${node.bin}/minicni`, "utf8")).toBe("old");
  });

  test("without a free inode for either: it is named whole", () => {
    mounted("size=200m,nr_inodes=2");
    writeFileSync(`${node.bin}/minicni`, "old");
    const done = node.install();
    expectAsBefore(done, "old");
    expect(done.stderr).toContain(`make room in the file system of ${node.bin}: see df ${node.bin}`);
  });

  test("without one for the launcher: the plugin of before stays, beside a full binary that nobody calls yet", () => {
    mounted("size=200m,nr_inodes=3");
    writeFileSync(`${node.bin}/minicni`, "old");
    const done = node.install();
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain(`launcher --out ${node.bin}/minicni`);
    expect(done.stderr).toContain(`see df ${node.bin}`);
    expect(readFileSync(`${node.bin}/minicni`, "utf8")).toBe("old");
    expect(readdirSync(node.bin).sort()).toEqual(["minicni", "minicni-standalone"]);
  });
});
