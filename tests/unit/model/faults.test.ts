import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { Fuse, fuseFileSystem } from "../../twin/fuse.ts";
import type { Key } from "./facts.ts";
import { CONTAINERS, NETWORKS } from "./networks.ts";
import { Play } from "./play.ts";

const ONE: Key = { network: "extra", containerId: "c1", ifname: "net0" };
const OTHER: Key = { network: "extra", containerId: "c2", ifname: "net0" };

const fuse = new Fuse();
let root = "";
let play = new Play(NETWORKS, CONTAINERS, "/nowhere", fuse, new Map());
const restore: (() => Promise<void>)[] = [];
const ignore = () => undefined;

beforeEach(async () => {
  root = mkdtempSync(`${tmpdir()}/minicni-model-`);
  play = new Play(NETWORKS, CONTAINERS, root, fuse, new Map());
  process.on("unhandledRejection", ignore);
  restore.push(await fuseFileSystem(root, fuse));
});
afterEach(async () => {
  for (const work of restore.splice(0)) await work();
  process.off("unhandledRejection", ignore);
  rmSync(root, { recursive: true, force: true });
});

const call = (name: "ADD" | "DEL", key: Key, killAt: number | null = null) =>
  play.run({ do: name, key, killAt });

describe("a node that is not as the model says", () => {
  test("is told of: a reservation that was lost", async () => {
    await call("ADD", ONE);
    rmSync(`${root}/networks/extra/10.2.0.2`);
    expect(() => play.model.examine(play.observe())).toThrow("10.2.0.2 stays reserved for extra c1 net0");
  });

  test("is told of: a link that nobody needs", async () => {
    await call("ADD", ONE);
    play.model.del(ONE, { ok: true, addresses: [] });
    expect(() => play.model.examine(play.observe())).toThrow("is free");
  });

  test("is told of: an address that is given twice", async () => {
    await call("ADD", ONE);
    expect(() => play.model.add(OTHER, { ok: true, addresses: ["10.2.0.2"] })).toThrow("10.2.0.2 belongs to");
  });
});

describe("where records were lost while pods run", () => {
  test("the DEL of one pod leaves the MAC check of another", async () => {
    await call("ADD", ONE);
    await call("ADD", OTHER);
    await play.run({ do: "records lost" });
    await call("DEL", OTHER);
    expect(play.isChecked(ONE)).toBe(true);
  });

  test("the DEL of one pod leaves the masquerade of another", async () => {
    const pods = { network: "pods", ifname: "eth0" };
    await call("ADD", { ...pods, containerId: "c1" });
    await play.run({ do: "records lost" });
    await call("ADD", { ...pods, containerId: "c2" });
    await call("DEL", { ...pods, containerId: "c2" });
    expect(play.observe().rules).toEqual(["pods"]);
  });

  test("GC frees what an attachment held that was added again when its sandbox was gone too", async () => {
    play.node.kernel.addSandbox("/run/netns/c1");
    await play.ask("ADD", ONE);
    play.node.kernel.removeSandbox("/run/netns/c1");
    play.node.files.clear();
    play.node.kernel.addSandbox("/run/netns/c1");
    const second = await play.ask("ADD", ONE);
    await play.ask("GC", ONE, { "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "net0" }] });
    const left = play.observe().reservations.map(({ address }) => address);
    expect(second).toEqual({ ok: true, addresses: left });
  });

  test("the last DEL leaves no rule", async () => {
    await call("ADD", ONE);
    await play.run({ do: "records lost" });
    await call("DEL", ONE);
    expect(play.observe().rules).toEqual([]);
  });
});

describe("after an accident", () => {
  test("GC removes the temporary file of a record whose writer was killed", async () => {
    await call("ADD", ONE, 1);
    expect(play.observe().halfRecords).toEqual([ONE]);
    await play.run({ do: "GC", network: "extra", list: "empty" });
    expect(play.observe().halfRecords).toEqual([]);
  });

  test("STATUS passes after a reboot that left a full range of stale reservations", async () => {
    await call("ADD", ONE);
    await call("ADD", OTHER);
    expect(await play.ask("STATUS", { network: "extra" })).toEqual({ ok: false, code: 50 });
    await play.run({ do: "reboot" });
    expect(await play.ask("STATUS", { network: "extra" })).toEqual({ ok: true, addresses: [] });
  });

  test("STATUS does not take an ADD that was killed before it made a bridge for a pod that is cut off", async () => {
    await call("ADD", ONE, 2);
    expect(play.observe().records).toHaveLength(1);
    expect(await play.ask("STATUS", { network: "extra" })).toEqual({ ok: true, addresses: [] });
  });

  test("a port is allowed the MAC of its last ADD only, wherever the DEL before it was killed", async () => {
    for (let killAt = 0; killAt < 20; killAt++) {
      await call("ADD", ONE);
      await call("DEL", ONE, killAt);
      await call("ADD", ONE);
      if (play.model.live("extra", true).length === 1)
        expect([killAt, play.isChecked(ONE)]).toEqual([killAt, true]);
      await call("DEL", ONE);
    }
  });

  test("STATUS does not believe a full bitmap that a removal within the same grain of the clock left behind", async () => {
    await call("ADD", ONE);
    await call("ADD", OTHER);
    const folder = `${root}/networks/extra`;
    rmSync(`${folder}/10.2.1.1`);
    const bytes = readFileSync(`${folder}/.pool.0`);
    const end = bytes.indexOf(10);
    const header: { mtimeNs: string } = JSON.parse(bytes.subarray(0, end).toString());
    header.mtimeNs = statSync(folder, { bigint: true }).mtimeNs.toString();
    writeFileSync(
      `${folder}/.pool.0`,
      Buffer.concat([Buffer.from(JSON.stringify(header)), bytes.subarray(end)]),
    );
    expect(await play.ask("STATUS", { network: "extra" })).toEqual({ ok: true, addresses: [] });
  });
});
