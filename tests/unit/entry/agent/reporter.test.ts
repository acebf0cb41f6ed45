import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createHealth } from "../../../../src/entry/agent/health.ts";
import type { Known } from "../../../../src/entry/agent/known.ts";
import { createMetrics } from "../../../../src/entry/agent/metrics.ts";
import type { NetworkOutcome } from "../../../../src/entry/agent/network.ts";
import { type AgentReport, parseReport, readReport } from "../../../../src/entry/agent/report.ts";
import { createReporter, type FoundNetwork } from "../../../../src/entry/agent/reporter.ts";
import { parseSettings } from "../../../../src/entry/agent/settings.ts";
import type { NodeSnapshot } from "../../../../src/net/node.ts";
import { createFakeMachine } from "../../../twin/machine.ts";
import { prefix } from "../../../twin/words.ts";
import { node } from "./pass-stage.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const snapshotOf = (...numbers: number[]): NodeSnapshot => ({
  nodes: numbers.map(node),
  faults: [{ node: "n9", message: "has no pod CIDR" }],
});
const live = (snapshot: NodeSnapshot): Known => ({ snapshot, isLive: true, fault: null });

/** All peers are direct, and all routes are there. */
function outcomeOf(snapshot: NodeSnapshot, more: Partial<NetworkOutcome> = {}): NetworkOutcome {
  const peers = snapshot.nodes.slice(1);
  const counts = new Map([[4, peers.length] as const]);
  const paths = peers.flatMap((peer) => {
    const [dst, via] = [peer.podCidrs[0], peer.addresses[0]];
    return dst === undefined || via === undefined
      ? []
      : [{ peer, dst, kind: "direct" as const, via, ifindex: 2 }];
  });
  return {
    ...{ plan: [], isHeld: false, failures: [], peerFaults: [], deviceFaults: [], addressFaults: [] },
    ...{ conflicts: [], withheld: 0, devices: [], mtu: 1500, times: { observe: 0, diff: 0, execute: 0 } },
    ...{ paths, desired: counts, programmed: counts },
    ...more,
  };
}

/** A reporter whose clocks stand still until told; `writes`: how often its file was written. */
async function stage() {
  const host = createFakeMachine(root);
  const settings = await parseSettings(["--node", "n1", "--state-dir", root], host, () => undefined);
  if (typeof settings === "number") throw new Error(host.logged.join());
  const world = { nowMs: 0, writes: 0, isFull: false };
  const timers = new Set<{ readonly atMs: number; readonly work: () => void }>();
  const told = new Map<string, string | null>();
  const journal = {
    info: () => undefined,
    warn: () => undefined,
    state: (key: string, fault: string | null) => void told.set(key, fault),
  };
  const health = createHealth(() => world.nowMs);
  const reporter = createReporter(settings, {
    host: {
      bootId: host.bootId,
      writeFile: (path, text) => {
        if (world.isFull) throw new Error("ENOSPC: no space left on device");
        world.writes++;
        host.writeFile(path, text);
      },
    },
    ...{ journal, health, pid: 4711 },
    now: () => world.nowMs,
    date: () => new Date(Date.UTC(2026, 10, 24, 15) + world.nowMs),
    later: (ms, work) => {
      const timer = { atMs: world.nowMs + ms, work };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
  });
  const metrics = reporter.hear(
    await createMetrics({ version: "1", now: () => world.nowMs, openFiles: () => 0 }),
  );
  const outcomes = new Map<NodeSnapshot, NetworkOutcome>();
  /** The same for the same snapshot, as a pass finds it. */
  const outcomeFor = (snapshot: NodeSnapshot) => {
    const outcome = outcomes.get(snapshot) ?? outcomeOf(snapshot);
    outcomes.set(snapshot, outcome);
    return outcome;
  };
  const pass = (known: Known, found: Partial<FoundNetwork> = {}) => {
    const { snapshot } = known;
    const self = snapshot?.nodes[0];
    if (snapshot !== null && self !== undefined)
      reporter.network({ snapshot, self, outcome: outcomeFor(snapshot), mtu: 1450, ...found });
    reporter.look(known);
  };
  const advance = (ms: number) => {
    world.nowMs += ms;
    const due = [...timers].filter(({ atMs }) => atMs <= world.nowMs);
    for (const timer of due) {
      timers.delete(timer);
      timer.work();
    }
  };
  const read = (): AgentReport => {
    const { report, fault } = readReport(root, host);
    if (report === null) throw new Error(fault);
    return report;
  };
  return { reporter, metrics, health, host, world, told, pass, advance, read };
}

describe("agent.json", () => {
  test("says from the start on who runs here, and that nothing is known yet", async () => {
    const { reporter, read } = await stage();
    reporter.look({ snapshot: null, isLive: false, fault: "API not reachable" });
    const report = read();
    expect(report).toMatchObject({ pid: 4711, bootId: "boot-1", stoppedAt: null, lastSyncAt: null });
    expect(report.startedAt).toBe("2026-11-24T15:00:00.000Z");
    expect(report.settings).toMatchObject({ node: "n1", stateDir: root, kubeconfig: null });
    expect(report.nodes).toEqual({
      source: "in-cluster ServiceAccount",
      ...{ isLive: false, heardAt: null, known: 0, faulty: [], fault: "API not reachable" },
    });
    expect(report.readiness.map(({ fault }) => fault)).toEqual(["not yet", "not yet", "not yet", "not yet"]);
  });

  test("has what a pass found", async () => {
    const { reporter, metrics, health, pass, read } = await stage();
    const snapshot = snapshotOf(1, 2, 3);
    const warnings = ["a table drops"];
    const rules = { changes: [], faults: ["no iptables"], warnings, variant: "nft" as const, plan: [] };
    const wish = {
      ...{ podCidrs: [], nodeAddresses: [], nonMasqueradeCidrs: [], masquerade: true },
      ...{ masqueradeNodes: false, randomFully: true, clusterCidrs: [prefix("10.244.0.0/16")] },
    };
    reporter.rules(wish, rules, "10.250.0.0/24 is outside");
    metrics.apiEvent("list");
    health.loop("resync", 1000);
    health.set("rules", "no iptables");
    pass(live(snapshot), {
      outcome: outcomeOf(snapshot, {
        peerFaults: [{ node: "n3", message: "is unreachable" }],
        paths: outcomeOf(snapshot).paths.slice(0, 1),
        conflicts: [{ dst: prefix("10.244.2.0/24"), protocol: 4, message: "static route in the way" }],
      }),
    });
    const report = read();
    expect(report.nodes).toMatchObject({ isLive: true, known: 3, heardAt: report.startedAt });
    expect(report.nodes.faulty).toEqual([{ node: "n9", message: "has no pod CIDR" }]);
    expect(report.peers).toEqual([
      {
        ...{ name: "n2", addresses: ["10.9.0.2"], podCidrs: ["10.244.2.0/24"] },
        ...{ path: "direct", fault: "static route in the way" },
      },
      {
        ...{ name: "n3", addresses: ["10.9.0.3"], podCidrs: ["10.244.3.0/24"] },
        ...{ path: "none", fault: "is unreachable" },
      },
    ]);
    expect(report.routes[0]).toEqual({ family: 4, desired: 2, programmed: 2 });
    expect(report).toMatchObject({ mtu: 1450, podCidrs: ["10.244.1.0/24"], clusterCidrs: ["10.244.0.0/16"] });
    expect(report.rules).toEqual({
      ...{ variant: "nft", faults: ["no iptables"] },
      warnings: ["a table drops", "10.250.0.0/24 is outside"],
    });
    expect(report.readiness[2]).toEqual({ name: "rules", fault: "no iptables", warning: null });
    expect(report.loops).toEqual([{ name: "resync", fault: null }]);
  });

  test("keeps the last 20 repairs, oldest first", async () => {
    const { metrics, pass, read } = await stage();
    for (let i = 1; i <= 25; i++) metrics.repair("route", "kernel", `ip route replace ${i}`, 2);
    pass(live(snapshotOf(1)));
    const { repairs } = read();
    expect(repairs.length).toBe(20);
    expect(repairs[0]?.change).toBe("ip route replace 6");
    expect(repairs.at(-1)).toMatchObject({
      ...{ object: "route", cause: "kernel", count: 2, change: "ip route replace 25" },
    });
  });

  test("is not written when nothing changed, but every 15 s", async () => {
    const { metrics, world, pass, advance, read } = await stage();
    const snapshot = snapshotOf(1, 2);
    metrics.apiEvent("list");
    pass(live(snapshot));
    for (let i = 0; i < 14; i++) {
      advance(1_000);
      metrics.apiEvent("irrelevant");
      pass(live(snapshot));
    }
    expect(world.writes).toBe(1);
    advance(1_000);
    expect(world.writes).toBe(2);
    expect(read().writtenAt).toBe("2026-11-24T15:00:15.000Z");
  });

  test("is written at a change, at most once a second", async () => {
    const { world, pass, advance, read } = await stage();
    pass(live(snapshotOf(1, 2)));
    pass(live(snapshotOf(1, 2, 3)));
    pass(live(snapshotOf(1, 2, 3, 4)));
    expect(world.writes).toBe(1);
    advance(1_000);
    expect([world.writes, read().peers.length]).toEqual([2, 3]);
    advance(5_000);
    pass(live(snapshotOf(1)));
    expect([world.writes, read().peers.length]).toEqual([3, 0]);
  });

  test("says at an orderly end that the agent stopped, and nothing afterwards", async () => {
    const { reporter, world, pass, advance, read } = await stage();
    pass(live(snapshotOf(1)));
    reporter.stop();
    expect(read().stoppedAt).toBe("2026-11-24T15:00:00.000Z");
    advance(60_000);
    pass(live(snapshotOf(1, 2)));
    expect(world.writes).toBe(2);
  });

  test("is left as it is by a process that only closes", async () => {
    const { reporter, world, pass, advance, read } = await stage();
    pass(live(snapshotOf(1)));
    reporter.close();
    advance(60_000);
    expect([world.writes, read().stoppedAt]).toEqual([1, null]);
  });

  test("can't be written: it is told, nothing else happens, and it is tried again", async () => {
    const { world, told, pass, advance, host } = await stage();
    world.isFull = true;
    pass(live(snapshotOf(1)));
    expect(told.get("agent.json")).toStartWith("can't be written: ENOSPC");
    expect(readReport(root, host).fault).toBe(`no agent has written ${root}/agent.json`);
    world.isFull = false;
    advance(15_000);
    expect([told.get("agent.json"), world.writes]).toEqual([null, 1]);
  });
});

test("the brief report has of the peers only those with a fault", async () => {
  const { reporter, pass } = await stage();
  const snapshot = snapshotOf(1, 2, 3);
  const peerFaults = [{ node: "n3", message: "is unreachable" }];
  pass(live(snapshot), { outcome: outcomeOf(snapshot, { peerFaults }) });
  const names = (isBrief: boolean) =>
    parseReport(reporter.text(isBrief), "page").report?.peers.map(({ name }) => name);
  expect([names(false), names(true)]).toEqual([["n2", "n3"], ["n3"]]);
});
