import { afterEach, beforeEach, describe, expect, setSystemTime, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLeakCheck, type LeakCheck } from "../../../../src/entry/agent/leaks.ts";
import { OverdueError } from "../../../../src/host/errors.ts";
import { type AttachmentRecord, writeRecord } from "../../../../src/host/records.ts";
import { addressOfFile } from "../../../../src/ipam/reservation.ts";
import { hostVethName } from "../../../../src/net/ifname.ts";
import { vethAlias } from "../../../../src/topology/alias.ts";
import { createFakeMachine, type FakeMachine, fakeLink } from "../../../twin/machine.ts";
import { fakeRecord } from "../../../twin/record.ts";

const GRACE_MS = 60_000;
let root = "";
let machine: FakeMachine;
let nowMs = 0;
/** What the lock of all attachments, or of one, was taken for. */
let locked: (string | null)[] = [];
let check: LeakCheck;
const open = () => machine;
const clock = () => nowMs;
/** As when another process holds the lock for longer than may be waited. */
const neverGot: FakeMachine["withAttachmentLock"] = async (path) => {
  throw new OverdueError(`waiting for ${path}`, "the time is over");
};

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
  machine = createFakeMachine(root);
  nowMs = 0;
  locked = [];
  machine.withAttachmentLock = async (_path, key, work) => {
    locked.push(key);
    return work();
  };
  const settings = { stateDir: `${root}/run`, confDir: `${root}/net.d`, graceMs: GRACE_MS };
  check = createLeakCheck(open, settings, clock);
});
afterEach(() => {
  setSystemTime();
  rmSync(root, { recursive: true, force: true });
});

const keyOf = (containerId: string, network = "minicni") => ({ network, containerId, ifname: "eth0" });

/** An attachment as an ADD leaves it, with its link. */
function attach(containerId: string, known: Partial<AttachmentRecord> = {}, network = "minicni"): void {
  const key = keyOf(containerId, network);
  const hostVeth = hostVethName(network, containerId, "eth0");
  const number = machine.linksByName.size + 2;
  const base = { dataDir: `${root}/networks`, addresses: [`10.1.0.${number}`] };
  const record = fakeRecord(network, containerId, { ...base, ...known });
  writeRecord(machine, `${root}/run`, key, record);
  for (const address of record.addresses)
    machine.writeFile(`${root}/networks/${network}/${address}`, `${containerId}\r\neth0`);
  machine.writeFile(`${root}/networks/${network}/.boot`, "boot-1");
  machine.namespaces.set(record.netns, `4:${number}`);
  const alias = vethAlias(key) ?? "";
  machine.linksByName.set(hostVeth, fakeLink({ index: number, name: hostVeth, kind: "veth", alias }));
}

/** The sandbox goes, and its links with it; nobody calls DEL. */
function lose(containerId: string, network = "minicni"): void {
  machine.namespaces.delete(`/run/netns/${containerId}`);
  machine.linksByName.delete(hostVethName(network, containerId, "eth0"));
}

const records = () => machine.listFolder(`${root}/run/attachments/minicni`).sort();
const reserved = () => machine.listFolder(`${root}/networks/minicni`).filter((name) => addressOfFile(name));

/** Looks at the start, half way and at the end of the grace period. */
async function wholeGrace() {
  await check.pass();
  nowMs += GRACE_MS / 2;
  await check.pass();
  nowMs += GRACE_MS / 2;
  return check.pass();
}

describe("a lost DEL", () => {
  test("what looked dead for the whole grace period is taken away, the live stay", async () => {
    attach("c1");
    attach("c2");
    lose("c2");
    expect(await check.pass()).toEqual({ removed: [], faults: [], candidates: 1 });
    nowMs = GRACE_MS - 1;
    expect(await check.pass()).toEqual({ removed: [], faults: [], candidates: 1 });
    nowMs = GRACE_MS;
    expect(await check.pass()).toEqual({ removed: [keyOf("c2")], faults: [], candidates: 0 });
    expect(records()).toEqual(["c1:eth0.json"]);
    expect(reserved()).toEqual(["10.1.0.2"]);
  });

  test("takes no lock as long as nothing is to be removed", async () => {
    attach("c1");
    attach("c2");
    await wholeGrace();
    lose("c2");
    await check.pass();
    expect(locked).toEqual([]);
    nowMs += GRACE_MS;
    await check.pass();
    expect(locked).toEqual([null]);
  });

  test("what looks alive once begins anew", async () => {
    attach("c1");
    lose("c1");
    await check.pass();
    nowMs = GRACE_MS / 2;
    attach("c1");
    await check.pass();
    lose("c1");
    nowMs = GRACE_MS;
    expect((await check.pass()).removed).toEqual([]);
    nowMs = 2 * GRACE_MS;
    expect((await check.pass()).removed).toEqual([keyOf("c1")]);
  });

  test("an attachment of the same name with another sandbox begins anew, seen alive or not", async () => {
    attach("c1");
    lose("c1");
    await check.pass();
    attach("c1", { netns: "/run/netns/second" });
    machine.namespaces.delete("/run/netns/second");
    lose("c1");
    nowMs = GRACE_MS;
    expect(await check.pass()).toMatchObject({ removed: [], candidates: 1 });
  });

  test("the wall clock is not looked at", async () => {
    attach("c1");
    lose("c1");
    await check.pass();
    setSystemTime(Date.now() + 1e9);
    expect((await check.pass()).removed).toEqual([]);
  });

  test("a grace period of 0 removes nothing", async () => {
    attach("c1");
    lose("c1");
    const off = createLeakCheck(open, { stateDir: `${root}/run`, confDir: "", graceMs: 0 }, clock);
    for (nowMs = 0; nowMs < 1e9; nowMs += 1e8)
      expect(await off.pass()).toEqual({ removed: [], faults: [], candidates: 0 });
  });
});

describe("never a live pod's", () => {
  test("whose sandbox is there although its link is not", async () => {
    attach("c1");
    machine.linksByName.clear();
    expect(await wholeGrace()).toEqual({ removed: [], faults: [], candidates: 0 });
  });

  test("whose link somebody renamed; its namespace is a process's", async () => {
    attach("c1", { netns: "/proc/77/ns/net" });
    const [link] = [...machine.linksByName.values()];
    machine.linksByName.clear();
    machine.linksByName.set("other", fakeLink({ ...link, name: "other" }));
    expect(await wholeGrace()).toEqual({ removed: [], faults: [], candidates: 0 });
    machine.linksByName.clear();
    expect((await wholeGrace()).removed).toEqual([keyOf("c1")]);
  });

  test("that is added while the check waits for the lock", async () => {
    attach("c1");
    lose("c1");
    await check.pass();
    nowMs = GRACE_MS;
    machine.withAttachmentLock = async (_path, _key, work) => {
      attach("c1");
      attach("c9");
      return work();
    };
    expect(await check.pass()).toMatchObject({ removed: [], faults: [] });
    expect(records()).toEqual(["c1:eth0.json", "c9:eth0.json"]);
    expect(reserved()).toHaveLength(2);
  });

  test("whose ADD is under way: its own lock is held", async () => {
    attach("c1", { phase: "reserved" });
    lose("c1");
    machine.withAttachmentLock = neverGot;
    expect(await wholeGrace()).toEqual({ removed: [], faults: [], candidates: 0 });
  });

  test("but what a killed ADD left goes", async () => {
    attach("c1", { phase: "reserved" });
    expect((await wholeGrace()).removed).toEqual([keyOf("c1")]);
    expect(reserved()).toEqual([]);
  });

  test("whose record is one of another version", async () => {
    attach("c1");
    machine.writeFile(`${root}/run/attachments/minicni/c1:eth0.json`, '{"version":9}');
    lose("c1");
    expect(await wholeGrace()).toEqual({ removed: [], faults: [], candidates: 0 });
    expect(records()).toEqual(["c1:eth0.json"]);
  });
});

describe("what can't be removed", () => {
  test("is told, waits for another grace period, and holds up nobody else", async () => {
    attach("c1", { ipam: "whereabouts" }, "net2");
    lose("c1", "net2");
    attach("c2", {}, "net2");
    lose("c2", "net2");
    const { removed, faults, candidates } = await wholeGrace();
    expect(removed).toEqual([keyOf("c2", "net2")]);
    expect(candidates).toBe(1);
    expect(faults.join()).toMatch(/net2 c1 eth0 .*managed by whereabouts: no configuration/);
    locked = [];
    nowMs += GRACE_MS / 2;
    expect([(await check.pass()).faults, locked]).toEqual([[], []]);
  });

  test("a lock that is not to be had leaves all as it is, for the next time", async () => {
    attach("c1");
    lose("c1");
    const { withAttachmentLock } = machine;
    machine.withAttachmentLock = neverGot;
    const faults = [expect.stringMatching(/wait for another pass: gave up at waiting for/)];
    expect(await wholeGrace()).toMatchObject({ removed: [], faults });
    machine.withAttachmentLock = withAttachmentLock;
    expect((await wholeGrace()).removed).toEqual([keyOf("c1")]);
  });

  test("a configuration that is no JSON is told, and the other networks are served", async () => {
    machine.writeFile(`${root}/net.d/05-broken.conflist`, "{");
    attach("c1");
    lose("c1");
    const faults = [expect.stringContaining("05-broken.conflist can't be read")];
    expect(await wholeGrace()).toEqual({ removed: [keyOf("c1")], faults, candidates: 0 });
  });
});

describe("another boot", () => {
  test("records of it go, and so do reservations that have none", async () => {
    attach("c1", { bootId: "boot-0" });
    lose("c1");
    machine.writeFile(`${root}/networks/minicni/10.1.0.77`, "gone\r\neth0");
    machine.writeFile(`${root}/networks/minicni/.boot`, "boot-0");
    await Bun.sleep(5);
    machine.files.set("/proc/uptime", "0.0 0.0\n");
    expect((await wholeGrace()).removed).toEqual([keyOf("c1")]);
    expect(reserved()).toEqual([]);
    expect(await check.pass()).toEqual({ removed: [], faults: [], candidates: 0 });
  });
});
