import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { checked, eachOf, gcAll, good, NO_TRACES, told, traces } from "./faults.ts";
import { destroySandboxes, type Json, must, type Pod, Sandbox } from "./sandbox.ts";
import { resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const RULES: Json = { ipMasq: true, macspoofchk: true };
type Folder = "dataDir" | "stateDir";
const FOLDERS: readonly Folder[] = ["dataDir", "stateDir"];

/** A node one of whose folders is a file system of its own. */
function node(folder: Folder, options: string) {
  const box = new Sandbox();
  box.mountTmpfs(box[folder], options);
  const remount = (how: string) => must("mount", "-o", `remount,${how}`, box[folder]);
  return { box, conf: box.conf(RULES), pod: box.pod(), remount };
}

/** Uses up what is left: blocks, or inodes. Returns how to give it back. */
function fill(path: string, what: "blocks" | "inodes"): () => void {
  const made: string[] = [];
  try {
    for (let n = 0; n < 100_000; n++) {
      made.push(`${path}/fill-${n}`);
      writeFileSync(`${path}/fill-${n}`, what === "blocks" ? "x" : "");
    }
    throw new Error(`${path} does not fill up`);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
  return () => {
    for (const file of made) rmSync(file, { force: true });
  };
}

function status(box: Sandbox, conf: Json) {
  return box.start("STATUS", { id: "", netns: "", ifname: "" }, conf).done;
}

async function expectNotReady(box: Sandbox, folder: Folder, conf: Json): Promise<void> {
  const { code, text } = told(await status(box, conf));
  expect(`${code} ${text}`).toMatch(new RegExp(`^50 .*${box[folder]}`, "s"));
}

/** One JSON error of code 5, and nothing of this pod; what was there before is still there. */
async function expectIoError(box: Sandbox, pod: Pod, conf: Json, before: object): Promise<void> {
  expect(told(await box.start("ADD", pod, conf).done).code).toBe(5);
  expect(traces(box)).toEqual({ ...NO_TRACES, ...before });
  expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
}

const LIMITS: Readonly<Record<Folder, readonly string[]>> = {
  dataDir: [
    ...[1, 2, 3, 4, 5, 6, 7, 8, 20, 38].map((pages) => `size=${4 * pages}k`),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((inodes) => `nr_inodes=${inodes}`),
  ],
  stateDir: [
    ...[1, 2, 3, 4].map((pages) => `size=${4 * pages}k`),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((inodes) => `nr_inodes=${inodes}`),
  ],
};

describe("the disk gets full in the middle of an ADD", () => {
  for (const folder of FOLDERS) {
    test(`${folder}: code 5 and nothing stays, or a result that passes CHECK; DEL ends well`, async () => {
      let [failed, succeeded] = [0, 0];
      await eachOf(LIMITS[folder], 3, async (limit) => {
        const { box, conf, pod, remount } = node(folder, limit);
        const done = await box.start("ADD", pod, conf).done;
        if (done.exitCode === 0) {
          succeeded++;
          await checked(box, pod, conf, done);
        } else {
          failed++;
          expect(told(done).code).toBe(5);
          expect(traces(box)).toEqual(NO_TRACES);
        }
        await good(box, "DEL", pod, conf);
        expect(traces(box)).toEqual(NO_TRACES);
        remount("size=8m,nr_inodes=1000");
        await checked(box, pod, conf, await good(box, "ADD", pod, conf));
        await good(box, "DEL", pod, conf);
        expect(traces(box)).toEqual(NO_TRACES);
        box.destroy();
      });
      expect(failed).toBeGreaterThan(0);
      expect(succeeded).toBeGreaterThan(0);
    });
  }
});

describe("the error of an ADD on a full disk", () => {
  for (const folder of FOLDERS) {
    test(`names the ${folder}`, async () => {
      const { box, conf, pod } = node(folder, "size=4k");
      expect(told(await box.start("ADD", pod, conf).done).text).toContain(box[folder]);
    });
  }
});

describe("the disk is full while pods are there", () => {
  for (const folder of FOLDERS) {
    for (const what of ["blocks", "inodes"] as const) {
      test(`${folder}, no ${what} left: STATUS 50, ADD 5, the pod stays, its DEL ends well`, async () => {
        const { box, conf, pod } = node(folder, "size=400k,nr_inodes=100");
        const added = await good(box, "ADD", pod, conf);
        const before = traces(box);
        const empty = fill(box[folder], what);
        await expectNotReady(box, folder, conf);
        await expectIoError(box, box.pod(), conf, before);
        await checked(box, pod, conf, added);
        await good(box, "DEL", pod, conf);
        expect(traces(box)).toEqual(NO_TRACES);
        empty();
        expect((await status(box, conf)).exitCode).toBe(0);
      });

      test(`${folder}, no ${what} left: GC still frees`, async () => {
        const { box, conf, pod } = node(folder, "size=400k,nr_inodes=100");
        await good(box, "ADD", pod, conf);
        fill(box[folder], what);
        await good(box, "GC", pod, gcAll(conf));
        expect(traces(box)).toEqual(NO_TRACES);
      });
    }
  }
});

describe("a file system turns read-only while a pod is there", () => {
  test("stateDir: DEL removes link and addresses and ends well; the record goes with the next DEL", async () => {
    const { box, conf, pod, remount } = node("stateDir", "size=400k");
    await good(box, "ADD", pod, conf);
    remount("ro");
    await expectNotReady(box, "stateDir", conf);
    const done = await box.start("DEL", pod, conf).done;
    const { links, reservations } = traces(box);
    expect({ links, reservations }).toEqual({ links: [], reservations: [] });
    expect(done).toMatchObject({ exitCode: 0, stdout: "" });
    remount("rw");
    await good(box, "DEL", pod, conf);
    expect(traces(box)).toEqual(NO_TRACES);
  });

  test("stateDir: what that left is dead for a GC without a list, and no obstacle for the next ADD", async () => {
    for (const way of ["GC", "ADD"]) {
      const { box, conf, pod, remount } = node("stateDir", "size=400k");
      await good(box, "ADD", pod, conf);
      remount("ro");
      await box.start("DEL", pod, conf).done;
      remount("rw");
      if (way === "ADD") {
        await checked(box, pod, conf, await good(box, "ADD", pod, conf));
        await good(box, "DEL", pod, conf);
      } else {
        await good(box, "GC", pod, conf);
      }
      expect(traces(box)).toEqual(NO_TRACES);
    }
  });

  test("dataDir: DEL tells code 5 and has taken the link; writable again, DEL leaves nothing", async () => {
    const { box, conf, pod, remount } = node("dataDir", "size=400k");
    const added = resultOf(await good(box, "ADD", pod, conf));
    remount("ro");
    await expectNotReady(box, "dataDir", conf);
    const { code, text } = told(await box.start("DEL", pod, conf).done);
    expect(`${code} ${text}`).toMatch(new RegExp(`^5 .*${box.dataDir}`, "s"));
    expect(box.hostVeths()).toEqual([]);
    // Not given back, so that nobody else gets what a DEL has still to free.
    expect(box.reservations()).toHaveLength(added.ips.length);
    remount("rw");
    await good(box, "DEL", { ...pod, netns: "" }, conf);
    expect(traces(box)).toEqual(NO_TRACES);
    await checked(box, pod, conf, await good(box, "ADD", pod, conf));
  });

  for (const folder of FOLDERS) {
    test(`${folder}: another pod's ADD tells code 5 and leaves nothing, the pod stays`, async () => {
      const { box, conf, pod, remount } = node(folder, "size=400k");
      const added = await good(box, "ADD", pod, conf);
      const before = traces(box);
      remount("ro");
      await expectIoError(box, box.pod(), conf, before);
      remount("rw");
      await checked(box, pod, conf, added);
    });

    test(`${folder}: CHECK, which writes nothing, passes`, async () => {
      const { box, conf, pod, remount } = node(folder, "size=400k");
      const added = await good(box, "ADD", pod, conf);
      remount("ro");
      await checked(box, pod, conf, added);
    });

    test(`${folder}: GC tells code 5, removes what it can, and ends the work once it can write`, async () => {
      const { box, conf, pod, remount } = node(folder, "size=400k");
      await good(box, "ADD", pod, conf);
      remount("ro");
      expect(told(await box.start("GC", pod, gcAll(conf)).done).code).toBe(5);
      remount("rw");
      await good(box, "GC", pod, gcAll(conf));
      expect(traces(box)).toEqual(NO_TRACES);
    });
  }
});
