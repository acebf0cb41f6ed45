import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { withScratch } from "../../src/entry/bench/scratch.ts";
import { createHost } from "../../src/host/linux.ts";
import { must, run } from "./sandbox.ts";

const host = createHost();
/** No process has it: the kernel's largest PID is 2^22 (PID_MAX_LIMIT). */
const DEAD = "mbench-4194305-";
/** PID 1 always runs. */
const ALIVE = "mbench-1-";

const ours = (folder: string, prefix: string) =>
  existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(prefix)) : [];
const left = (prefix: string) => ["/run/netns", "/run", "/var/tmp"].flatMap((folder) => ours(folder, prefix));

afterAll(() => {
  for (const prefix of [DEAD, ALIVE]) {
    run(["ip", "netns", "del", `${prefix}node`]);
    for (const folder of ["/run", "/var/tmp"]) {
      for (const name of ours(folder, prefix)) rmSync(`${folder}/${name}`, { recursive: true, force: true });
    }
  }
});

test("withScratch removes namespaces and folders, also when the work fails", async () => {
  const seen: string[] = [];
  const work = withScratch({ host, cleaner: host }, async (scratch) => {
    const [node = "", pod = ""] = await scratch.addNamespaces(["node", "pod"]);
    for (const folder of [scratch.disk, scratch.memory]) writeFileSync(`${folder}/x`, "x");
    seen.push(...[node, pod].filter((path) => host.isNetns(path)));
    throw new Error("no bridge");
  });
  await expect(work).rejects.toThrow("no bridge");
  expect([seen.length, left(`mbench-${process.pid}-`)]).toEqual([2, []]);
});

test("withScratch removes what a killed run left, and nothing of one that runs", async () => {
  for (const prefix of [DEAD, ALIVE]) {
    must("ip", "netns", "add", `${prefix}node`);
    mkdirSync(`/var/tmp/${prefix}disk`);
  }
  await withScratch({ host, cleaner: host }, async () => undefined);
  expect([left(DEAD), left(ALIVE)]).toEqual([[], [`${ALIVE}node`, `${ALIVE}disk`]]);
});

test("withScratch ends agents that a killed run left, and none of a run that runs", async () => {
  const start = (prefix: string) =>
    Bun.spawn(["sh", "-c", "read -r line", "agent", `/var/tmp/${prefix}disk/nodes.json`], { stdin: "pipe" });
  const [orphan, other] = [start(DEAD), start(ALIVE)];
  await withScratch({ host, cleaner: host }, async () => undefined);
  expect([await orphan.exited, orphan.signalCode, other.exitCode]).toEqual([137, "SIGKILL", null]);
  other.kill("SIGKILL");
  await other.exited;
});
