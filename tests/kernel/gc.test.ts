import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { BINARY, destroySandboxes, type Json, NETWORK, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, type Finished } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const KEYS = ["cni.dev/valid-attachments", "cni.dev/attachments"] as const;
const [KEY] = KEYS;
const SILENT = { exitCode: 0, stdout: "", stderr: "" };
/** All that GC may need (SPEC §2). */
const ENV = { CNI_COMMAND: "GC", CNI_PATH: "/opt/cni/bin" };

function gc(box: Sandbox, conf: Json): Finished {
  return run(box.argv(), { stdin: JSON.stringify(conf), env: ENV });
}

function listOf(...pods: Pod[]): Json[] {
  return pods.map(({ id, ifname }) => ({ containerID: id, ifname: ifname ?? "eth0" }));
}

function folderOf(box: Sandbox): string {
  const folder = `${box.dataDir}/${NETWORK}`;
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Deletes a pod's namespace; the kernel takes its links away a little later. */
function removeWithLinks(box: Sandbox, pod: Pod): void {
  const before = box.hostVeths().length;
  box.removePod(pod);
  for (let tries = 0; box.hostVeths().length === before && tries < 200; tries++) Bun.sleepSync(50);
}

/** GC as if the machine had been started a moment ago: another boot ID, no uptime. */
function gcAfterReboot(box: Sandbox, conf: Json): Finished {
  writeFileSync(`${box.dir}/uptime`, "0.00 0.00\n");
  writeFileSync(`${box.dir}/boot`, "00000000-0000-4000-8000-000000000000\n");
  const script = `mount --bind ${box.dir}/uptime /proc/uptime
    mount --bind ${box.dir}/boot /proc/sys/kernel/random/boot_id
    exec nsenter --net=${box.netns} ${BINARY}`;
  return run(["unshare", "-m", "sh", "-e", "-c", script], { stdin: JSON.stringify(conf), env: ENV });
}

describe("GC with a list", () => {
  for (const key of KEYS) {
    test(`${key}: what is not listed goes, live pods stay as they are`, () => {
      const box = new Sandbox();
      const [live, other, dead] = [box.pod(), box.pod(), box.pod()];
      const prevResult = box.add(live);
      const [address = ""] = addressesOf(box.add(other));
      box.add(dead);
      expect(gc(box, box.conf({ [key]: listOf(live, other) }))).toEqual(SILENT);
      expect(box.hostVeths()).toHaveLength(2);
      expect(box.reservations().sort()).toEqual(["10.7.0.2", "10.7.0.3", "fd00:7::2", "fd00:7::3"]);
      expect(box.records().sort()).toEqual(["pod1:eth0.json", "pod2:eth0.json"]);
      expect(box.links(dead.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
      expect(box.call("CHECK", live, box.conf({ prevResult })).exitCode).toBe(0);
      for (const to of [address, "10.7.0.1", "fd00:7::1"]) expect(box.pings(live.netns, to)).toBe(true);
    });
  }

  test("two interfaces of one container are two attachments", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    box.add({ ...pod, ifname: "net1" }, box.conf({}, { routes: [] }));
    expect(gc(box, box.conf({ [KEY]: listOf({ ...pod, ifname: "net1" }) }))).toEqual(SILENT);
    expect(box.records()).toEqual(["pod1:net1.json"]);
    expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo", "net1"]);
  });

  test("an empty list: all of this network goes, rules of both kinds as well; a second GC finds nothing", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true, macspoofchk: true, [KEY]: [] });
    for (const pod of box.pods(3)) box.add(pod, conf);
    expect(box.natRules(4).length).toBeGreaterThan(0);
    expect(box.node("nft", "list", "tables", "bridge")).toContain("minicni_spoof");
    for (let time = 0; time < 2; time++) {
      expect(gc(box, conf)).toEqual(SILENT);
      expect(box.leftovers()).toEqual(NOTHING);
      expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
      expect(box.node("nft", "list", "tables", "bridge")).toBe("");
    }
  });

  test("nftables masquerade goes with the last attachment, not before", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true, ipMasqBackend: "nftables" });
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, conf);
    box.add(b, conf);
    expect(gc(box, { ...conf, [KEY]: listOf(a) })).toEqual(SILENT);
    expect(box.node("nft", "list", "tables", "inet")).toContain("minicni_masq");
    expect(gc(box, { ...conf, [KEY]: [] })).toEqual(SILENT);
    expect(box.node("nft", "list", "tables", "inet")).toBe("");
  });

  test("a lost DEL: the sandbox is gone, nobody said so", () => {
    const box = new Sandbox();
    const [live, dead] = [box.pod(), box.pod()];
    box.add(live);
    box.add(dead);
    box.removePod(dead);
    expect(gc(box, box.conf({ [KEY]: listOf(live) }))).toEqual(SILENT);
    expect(box.reservations().sort()).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(box.records()).toEqual(["pod1:eth0.json"]);
  });

  test("lost records: the link is found by its alias, the address by the store", () => {
    const box = new Sandbox();
    const [live, dead] = [box.pod(), box.pod()];
    box.add(live);
    box.add(dead);
    rmSync(box.stateDir, { recursive: true });
    expect(gc(box, box.conf({ [KEY]: listOf(live) }))).toEqual(SILENT);
    expect(box.hostVeths()).toHaveLength(1);
    expect(box.reservations().sort()).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(box.pings(live.netns, "10.7.0.1")).toBe(true);
  });

  test("another network in the same store, state folder and namespace is left alone", () => {
    const box = new Sandbox();
    const [mine, theirs] = [box.pod(), box.pod()];
    const other = box.conf(
      { name: "net2", bridge: "br1", ipMasq: true, macspoofchk: true },
      { ranges: [[{ subnet: "10.8.0.0/24" }]], routes: [] },
    );
    const conf = box.conf({ ipMasq: true, macspoofchk: true });
    box.add(mine, conf);
    const prevResult = box.add(theirs, other);
    expect(gc(box, { ...conf, [KEY]: [] })).toEqual(SILENT);
    expect(box.reservations()).toEqual([]);
    expect(box.reservations("net2")).toEqual(["10.8.0.2"]);
    expect(box.records("net2")).toEqual(["pod2:eth0.json"]);
    expect(box.call("CHECK", theirs, { ...other, prevResult }).exitCode).toBe(0);
    expect(box.pings(theirs.netns, "10.8.0.1")).toBe(true);
  });

  test("a reservation of an older host-local (the ID alone) stays as long as its container has any interface", () => {
    const box = new Sandbox();
    for (const [host, id] of ["kept", "dead"].entries())
      writeFileSync(`${folderOf(box)}/10.7.0.${host + 7}`, id);
    const valid = listOf({ id: "kept", netns: "", ifname: "net9" });
    expect(gc(box, box.conf({ [KEY]: valid }))).toEqual(SILENT);
    expect(box.reservations()).toEqual(["10.7.0.7"]);
  });

  test("one attachment that can't be removed is told, the others go all the same", () => {
    const box = new Sandbox();
    const [stuck, other] = [box.pod(), box.pod()];
    box.add(stuck);
    box.add(other);
    const path = `${box.stateDir}/attachments/${NETWORK}/${stuck.id}:eth0.json`;
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ipam: "nosuch" }));
    const error = errorOf(gc(box, box.conf({ [KEY]: [] })));
    expect(error.code).toBe(7);
    expect(error.msg).toMatch(/GC of net1: net1 pod1 eth0: failed to find plugin "nosuch"/);
    expect(box.records()).toEqual(["pod1:eth0.json"]);
    expect(box.hostVeths()).toEqual([]);
  });
});

describe("GC without a list", () => {
  for (const [what, list] of [
    ["absent", {}],
    ["null", { [KEY]: null }],
  ] as const) {
    test(`${what}: only what is provably dead goes`, () => {
      const box = new Sandbox();
      const [live, gone, half] = [box.pod(), box.pod(), box.pod()];
      const prevResult = box.add(live);
      box.add(gone);
      removeWithLinks(box, gone);
      // What an ADD leaves that was killed after its reservation; the torn one a full disk.
      const folder = folderOf(box);
      const records = `${box.stateDir}/attachments/${NETWORK}`;
      const text = readFileSync(`${records}/pod1:eth0.json`, "utf8");
      const killed = { ...JSON.parse(text), containerId: half.id, phase: "begun", addresses: [] };
      writeFileSync(`${records}/${half.id}:eth0.json`, JSON.stringify(killed));
      writeFileSync(`${folder}/10.7.0.44`, `${half.id}\r\neth0`);
      writeFileSync(`${folder}/10.7.0.55`, "");
      writeFileSync(`${folder}/10.7.0.66`, "somebody\r\neth0");
      expect(gc(box, box.conf(list)).exitCode).toBe(0);
      expect(box.records()).toEqual(["pod1:eth0.json"]);
      expect(box.reservations().sort()).toEqual(["10.7.0.2", "10.7.0.66", "fd00:7::2"]);
      expect(box.call("CHECK", live, box.conf({ prevResult })).exitCode).toBe(0);
      expect(box.pings(live.netns, "10.7.0.1")).toBe(true);
    });
  }

  test("whatever is of another boot goes", () => {
    const box = new Sandbox();
    box.add(box.pod());
    writeFileSync(`${folderOf(box)}/10.7.0.66`, "somebody\r\neth0");
    expect(gcAfterReboot(box, box.conf()).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("of a network that never was: silent, and nothing is made", () => {
    const box = new Sandbox();
    expect(gc(box, box.conf())).toEqual(SILENT);
    expect(existsSync(`${box.dataDir}/${NETWORK}`)).toBe(false);
    expect(box.links().map(({ ifname }) => ifname)).toEqual(["lo"]);
  });
});

describe("GC of addresses that another plugin's pods hold", () => {
  const conf = (box: Sandbox, more: Json = {}) => box.conf({ type: "bridge", ...more }, { type: "minicni" });

  test("with a list: what is not listed goes", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, conf(box));
    box.add(b, conf(box));
    expect(gc(box, conf(box, { [KEY]: listOf(b) }))).toEqual(SILENT);
    expect(box.reservations().sort()).toEqual(["10.7.0.3", "fd00:7::3"]);
    expect(box.records()).toEqual(["pod2:eth0.json"]);
  });

  test("without one: those of a namespace that is gone", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, conf(box));
    box.add(b, conf(box));
    box.removePod(a);
    expect(gc(box, conf(box))).toEqual(SILENT);
    expect(box.reservations().sort()).toEqual(["10.7.0.3", "fd00:7::3"]);
  });
});
