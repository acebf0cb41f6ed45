import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import type { Known } from "../../../../src/entry/agent/known.ts";
import { prefix } from "../../../twin/words.ts";
import { closeRoot, hasConflist, LIVE, node, nodeJson, openRoot, pathOf, stage } from "./pass-stage.ts";

beforeEach(openRoot);
afterEach(closeRoot);

describe("a pass", () => {
  test("that can't write what it publishes has failed, and puts nothing off", async () => {
    const { run, unready, told, host } = await stage();
    mkdirSync(pathOf("net.d/10-minicni.conflist"), { recursive: true });
    expect((await run(LIVE, "start")).hasFailed).toBe(true);
    expect([unready(), host.network.routes.length]).toEqual([["published"], 1]);
    expect(told.get("published")).toContain("10-minicni.conflist can't be written");
    rmSync(pathOf("net.d/10-minicni.conflist"), { recursive: true });
    expect((await run(LIVE, "timer")).hasFailed).toBe(false);
    expect([unready(), told.get("published")]).toEqual([[], null]);
  });

  test("publishes no MTU that IPv6 can't have, and leaves what pods that are there go by", async () => {
    const ipv6 = { ...node(1), podCidrs: [...node(1).podCidrs, prefix("fd44:0:0:1::/64")] };
    const dual: Known = { ...LIVE, snapshot: { nodes: [ipv6, node(2)], faults: [] } };
    const { run, unready, told, host } = await stage("--mtu", "1200");
    expect((await run(dual, "start")).hasFailed).toBe(true);
    expect([unready(), hasConflist(), host.network.routes.length]).toEqual([["published"], false, 1]);
    expect(nodeJson()).toMatchObject({ ready: false, reason: expect.stringContaining("RFC 8200") });
    expect(told.get("mtu")).toBe(nodeJson().reason);
    expect((await run(LIVE, "nodes")).hasFailed).toBe(false);
    expect([nodeJson().mtu, told.get("mtu")]).toEqual([1200, null]);
    expect((await run(dual, "nodes", "timer")).hasFailed).toBe(true);
    expect([unready(), nodeJson()]).toEqual([
      ["published"],
      expect.objectContaining({ ready: true, mtu: 1200 }),
    ]);
  });

  test("tells cluster CIDRs that don't hold what Nodes have, as no fault", async () => {
    const { run, unready, told, world } = await stage("--cluster-cidrs", "10.24.0.0/16");
    expect((await run(LIVE, "start")).hasFailed).toBe(false);
    expect([unready(), world.clusterCidrs]).toEqual([[], 3]);
    expect(told.get("cluster CIDRs")).toContain("n1 10.244.1.0/24; n2 10.244.2.0/24");
  });
});
