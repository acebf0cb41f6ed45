import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import type { Known } from "../../../../src/entry/agent/known.ts";
import { prefix } from "../../../twin/words.ts";
import { closeRoot, hasConflist, LIVE, node, nodeJson, openRoot, pathOf, stage } from "./pass-stage.ts";

beforeEach(openRoot);
afterEach(closeRoot);

describe("a pass", () => {
  test("makes the node ready and publishes it", async () => {
    const { run, unready } = await stage();
    expect((await run(LIVE, "start")).hasFailed).toBe(false);
    expect(unready()).toEqual([]);
    expect(nodeJson()).toMatchObject({ ready: true, podCidrs: ["10.244.1.0/24"], mtu: 1500 });
    expect(hasConflist()).toBe(true);
  });

  test("publishes nothing before routes and rules are there, and does at the first good one, whatever woke it", async () => {
    const { run, world, unready, host } = await stage();
    world.rulesFault = "no iptables";
    expect((await run(LIVE, "start")).hasFailed).toBe(true);
    expect([unready(), hasConflist()]).toEqual([["rules", "published"], false]);
    expect(nodeJson()).toMatchObject({ ready: false, reason: "no iptables" });
    world.rulesFault = null;
    host.failOn = (step) => step.op === "route.replace";
    host.network.routes = [];
    await run(LIVE, "kernel");
    // A peer that is not reached keeps nobody from the rest; that it is not so as it should be shows all the same.
    expect([unready(), hasConflist()]).toEqual([["routes"], true]);
    host.failOn = () => false;
    await run(LIVE, "kernel");
    expect([unready(), hasConflist()]).toEqual([[], true]);
  });

  test("publishes although the bridge can't be repaired, and tells", async () => {
    const { run, world, told } = await stage();
    world.bridgeFault = "bridge.lock is held";
    expect((await run(LIVE, "start")).hasFailed).toBe(false);
    expect([nodeJson().ready, told.get("bridge faults")]).toEqual([true, "bridge.lock is held"]);
  });

  test("publishes another MTU when it has held, not while it flaps", async () => {
    const { run, world, host } = await stage();
    await run(LIVE, "start");
    const [name = "", link] = [...host.network.links].find(([, { name }]) => name === "eth0") ?? [];
    if (link === undefined) throw new Error("no eth0");
    host.network.links.set(name, { ...link, mtu: 1400 });
    await run(LIVE, "timer");
    expect(nodeJson().mtu).toBe(1500);
    world.nowMs = 5_000;
    await run(LIVE, "timer");
    expect(nodeJson().mtu).toBe(1400);
  });

  test("leaves peers that a short list does not have in the rules while their routes are held", async () => {
    const { run, world } = await stage();
    const third = { ...node(3), podCidrs: [prefix("10.250.0.0/24")] };
    await run({ ...LIVE, snapshot: { nodes: [node(1), node(2), third], faults: [] } }, "start");
    const whole = world.clusterCidrs;
    world.withheld = 12;
    await run({ ...LIVE, snapshot: { nodes: [node(1)], faults: [] } }, "nodes");
    expect(world.clusterCidrs).toBe(whole);
    world.withheld = 0;
    await run({ ...LIVE, snapshot: { nodes: [node(1)], faults: [] } }, "nodes");
    expect(world.clusterCidrs).toBeLessThan(whole);
  });

  test("leaves rules alone when only the kernel's hints woke it and all is well", async () => {
    const { run, world } = await stage();
    await run(LIVE, "start");
    await run(LIVE, "kernel");
    expect(world.rulesPasses).toBe(1);
    await run(LIVE, "kernel", "timer");
    expect(world.rulesPasses).toBe(2);
  });

  test("that fails on a node which serves pods leaves what is published", async () => {
    const { run, world, unready } = await stage();
    await run(LIVE, "start");
    world.isBroken = true;
    expect((await run(LIVE, "timer")).hasFailed).toBe(true);
    expect(unready()).toEqual(["routes"]);
    expect(nodeJson()).toMatchObject({ ready: true });
    world.isBroken = false;
    await run(LIVE, "timer");
    expect(unready()).toEqual([]);
  });

  test("writes again what somebody damaged", async () => {
    const { run } = await stage();
    await run(LIVE, "start");
    writeFileSync(pathOf("run/node.json"), "{");
    rmSync(pathOf("net.d/10-minicni.conflist"));
    await run(LIVE, "timer");
    expect([nodeJson().ready, hasConflist()]).toEqual([true, true]);
  });
});

describe("without what it needs", () => {
  const cases: readonly (readonly [string, Known, string])[] = [
    ["no Nodes yet", { snapshot: null, isLive: false, fault: null }, "the Nodes are not known yet"],
    ["no Nodes, and why", { snapshot: null, isLive: false, fault: "API: 403" }, "no Nodes: API: 403"],
    [
      "no Node of ours",
      { ...LIVE, snapshot: { nodes: [node(2)], faults: [] } },
      "Node n1 is not among the 1 Nodes",
    ],
    [
      "a bad Node of ours",
      { ...LIVE, snapshot: { nodes: [], faults: [{ node: "n1", message: "has no pod CIDR" }] } },
      "Node n1 has no pod CIDR: see --allocate-node-cidrs",
    ],
  ];
  test.each(cases)("%s: nothing is touched, and node.json says why", async (_what, known, reason) => {
    const { run, host, unready } = await stage();
    expect((await run(known, "start")).hasFailed).toBe(true);
    expect(host.executed).toEqual([]);
    expect(nodeJson()).toMatchObject({ ready: false, reason: expect.stringContaining(reason) });
    expect(hasConflist()).toBe(false);
    expect(unready()).toContain("published");
  });

  test("pods that are there go on: what was published as ready stays", async () => {
    const { run, host } = await stage();
    await run(LIVE, "start");
    const [routes] = [host.network.routes.length];
    await run({ ...LIVE, snapshot: { nodes: [node(2)], faults: [] } }, "nodes");
    expect(nodeJson()).toMatchObject({ ready: true });
    expect(host.network.routes).toHaveLength(routes);
  });

  test("the last known Nodes do, and readiness tells", async () => {
    const { run, told, unready } = await stage();
    await run({ ...LIVE, isLive: false, fault: "API: connection refused" }, "start");
    expect(told.get("nodes")).toBe("API: connection refused; working from the last known Nodes on disk");
    expect(unready()).toEqual(["nodes"]);
    expect([nodeJson().ready, hasConflist()]).toEqual([true, true]);
  });
});
