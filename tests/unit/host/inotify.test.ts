import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, symlinkSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { mountOf, observeFolder } from "../../../src/host/folder.ts";
import { observeWatches, parseWatches } from "../../../src/host/inotify.ts";

const dir = mkdtempSync(`${tmpdir()}/minicni-inotify-`);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("what a process watches", () => {
  test("is read from its fdinfo: inode and device of each watch", () => {
    const text =
      "pos:\t0\nflags:\t02000000\nmnt_id:\t16\nino:\t1057\ninotify wd:2 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d\ninotify wd:1 ino:a111 sdev:fe00000 mask:fc6 ignored_mask:0 \n";
    expect(parseWatches(text)).toEqual([
      { inode: "40574", device: "8:19" },
      { inode: "41233", device: "254:0" },
    ]);
  });

  test("is a folder of ours while we watch it, and not the one that took its place", () => {
    const folder = `${dir}/net.d`;
    mkdirSync(folder);
    const watcher = watch(folder, () => undefined);
    const isWatched = () => {
      const found = observeFolder(folder);
      return observeWatches(process.pid)?.some(
        ({ inode, device }) => inode === found?.inode && device === found.mount?.device,
      );
    };
    expect(isWatched()).toBe(true);
    rmdirSync(folder);
    // Keeps the old inode from being given out again.
    writeFileSync(`${dir}/first`, "");
    mkdirSync(folder);
    expect(isWatched()).toBe(false);
    watcher.close();
  });

  test("can't be seen of a process that is not there", () => {
    expect(observeWatches(2 ** 30)).toBeNull();
  });
});

describe("a folder", () => {
  test("is found through a link, with its mount; nothing is written", () => {
    mkdirSync(`${dir}/real`);
    symlinkSync(`${dir}/real`, `${dir}/link`);
    const found = observeFolder(`${dir}/link`);
    expect(found).toMatchObject({ realPath: `${dir}/real`, isFolder: true, fault: null });
    expect(found?.mount?.options).toContain("rw");
  });

  test("is none where a file is, and nothing where nothing is", () => {
    writeFileSync(`${dir}/file`, "");
    expect(observeFolder(`${dir}/file`)?.isFolder).toBe(false);
    expect(observeFolder(`${dir}/none`)).toBeNull();
  });

  test("is in the last mount over it", () => {
    const lines = [
      "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
      "30 22 0:40 / /opt ro,noexec - tmpfs none rw,size=8k",
      "31 22 0:41 / /opt\\040two rw - tmpfs none rw",
      "32 30 0:42 / /opt rw - tmpfs none rw",
    ];
    const of = (path: string) => mountOf(path, lines.join("\n"))?.device;
    expect([of("/etc"), of("/opt/cni"), of("/opt two/x"), of("/optional")]).toEqual([
      "254:0",
      "0:42",
      "0:41",
      "254:0",
    ]);
    expect(mountOf("/opt", lines.slice(0, 2).join("\n"))?.options).toEqual(["ro", "noexec", "rw", "size=8k"]);
  });
});
