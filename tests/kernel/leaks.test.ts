import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { type PassView, passArgv, REFERENCE_PLUGINS } from "./passes.ts";
import { destroySandboxes, must, NETWORK, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

function collect(box: Sandbox, confDir = ""): PassView {
  return JSON.parse(must(...passArgv(box, "leaks", confDir)));
}

/** Deletes a pod's namespace; the kernel takes its links away a little later. */
function lose(box: Sandbox, pod: Pod): void {
  const before = box.hostVeths().length;
  box.removePod(pod);
  for (let tries = 0; box.hostVeths().length === before && tries < 200; tries++) Bun.sleepSync(50);
}

describe("attachments whose DEL never came, on a runtime that calls no GC", () => {
  test("go with links, addresses, rules and records; live pods stay as they are", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    const [live, dead] = [box.pod(), box.pod()];
    const prevResult = box.add(live, conf);
    box.add(dead, conf);
    lose(box, dead);
    expect(collect(box)).toMatchObject({ removed: [{ containerId: dead.id }], faults: [], candidates: 0 });
    expect(box.reservations().sort()).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(box.records()).toEqual([`${live.id}:eth0.json`]);
    expect(box.call("CHECK", live, { ...conf, prevResult }).exitCode).toBe(0);
    expect(box.natRules(4).length).toBeGreaterThan(0);
    for (const to of ["10.7.0.1", "fd00:7::1"]) expect(box.pings(live.netns, to)).toBe(true);
    lose(box, live);
    expect(collect(box).removed).toHaveLength(1);
    expect(box.leftovers()).toEqual(NOTHING);
    expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
  });

  test("a pod whose namespace is a process's, and one that is only a mount, are alive", () => {
    const box = new Sandbox();
    const mounted = box.pod();
    const child = Bun.spawn({ cmd: ["unshare", "-n", "sleep", "60"], stdout: "ignore" });
    try {
      const netns = `/proc/${child.pid}/ns/net`;
      const own = must("readlink", "/proc/self/ns/net");
      for (let tries = 0; must("readlink", netns) === own && tries < 200; tries++) Bun.sleepSync(10);
      box.add(mounted);
      box.add({ id: "process", netns });
      expect(collect(box)).toEqual({ removed: [], faults: [], candidates: 0 });
      expect(box.reservations()).toHaveLength(4);
    } finally {
      child.kill();
    }
    for (let tries = 0; box.hostVeths().length === 2 && tries < 200; tries++) Bun.sleepSync(50);
    expect(collect(box)).toMatchObject({ removed: [{ containerId: "process" }] });
    expect(box.reservations()).toHaveLength(2);
  });

  test("an ADD that is under way is waited for, and its pod is alive", async () => {
    const box = new Sandbox();
    const pod = box.pod();
    // The store's lock keeps the ADD behind its first record.
    mkdirSync(`${box.dataDir}/${NETWORK}`, { recursive: true });
    const lock = `${box.dataDir}/${NETWORK}/lock`;
    closeSync(openSync(lock, "a"));
    const holder = Bun.spawn({ cmd: ["flock", lock, "sleep", "60"], stdout: "ignore" });
    const add = box.start("ADD", pod);
    const record = `${box.stateDir}/attachments/${NETWORK}/${pod.id}:eth0.json`;
    try {
      for (let tries = 0; !existsSync(record) && tries < 500; tries++) await Bun.sleep(10);
      expect(JSON.parse(readFileSync(record, "utf8"))).toMatchObject({ phase: "begun" });
      expect(collect(box)).toEqual({ removed: [], faults: [], candidates: 0 });
    } finally {
      // flock's child has the lock as well.
      run(["pkill", "-KILL", "-P", String(holder.pid)]);
      holder.kill("SIGKILL");
    }
    expect((await add.done).exitCode).toBe(0);
    expect(collect(box)).toEqual({ removed: [], faults: [], candidates: 0 });
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });

  test("what a killed ADD left goes", async () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    const path = `${box.stateDir}/attachments/${NETWORK}/${pod.id}:eth0.json`;
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), phase: "reserved" }));
    expect(collect(box).removed).toHaveLength(1);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("addresses of another IPAM plugin are given back by it, once its configuration is found", () => {
    const box = new Sandbox();
    const ipam = { type: "host-local", delegate: true, dataDir: box.dataDir, subnet: "10.7.0.0/24" };
    const conf = box.conf({ ipam, cniVersion: "1.0.0" });
    const pod = box.pod();
    box.add(pod, conf, { CNI_PATH: REFERENCE_PLUGINS });
    lose(box, pod);
    const told = collect(box);
    expect(told).toMatchObject({ removed: [], candidates: 1 });
    expect(told.faults.join()).toContain("managed by host-local: no configuration of this network is known");
    expect(box.reservations()).toEqual(["10.7.0.2"]);
    mkdirSync(`${box.dir}/net.d`);
    const { cniVersion, name, ...plugin } = conf;
    writeFileSync(`${box.dir}/net.d/10.conflist`, JSON.stringify({ cniVersion, name, plugins: [plugin] }));
    expect(collect(box, `${box.dir}/net.d`)).toMatchObject({
      removed: [{ containerId: pod.id }],
      faults: [],
    });
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("addresses that a pod of another plugin had from us go with its namespace", () => {
    const box = new Sandbox();
    const conf = box.conf({ type: "macvlan" }, { type: "minicni" });
    const [live, dead] = [box.pod(), box.pod()];
    for (const pod of [live, dead]) box.add(pod, conf);
    box.removePod(dead);
    expect(collect(box).removed).toHaveLength(1);
    expect(box.records()).toEqual([`${live.id}:eth0.json`]);
  });

  test("on a node without any attachment nothing is made", () => {
    const box = new Sandbox();
    expect(collect(box)).toEqual({ removed: [], faults: [], candidates: 0 });
    expect(existsSync(box.stateDir)).toBe(false);
    expect(existsSync(box.dataDir)).toBe(false);
  });
});
