import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { tunnelMac, tunnelNextHop } from "../../../src/topology/endpoint.ts";
import type { Path } from "../../../src/topology/path.ts";
import { planTunnelChange, planTunnelPeers } from "../../../src/topology/tunnel-peers.ts";
import { address, prefix } from "../../twin/words.ts";
import { describeAll, first, SELF } from "./tunnel-words.ts";

describe("planTunnelPeers", () => {
  const none = { forwarding: [], neighbours: [] };
  const mac = tunnelMac("node2");

  test("learns a peer: where its MAC is, and which MAC its tunnel address has", () => {
    const { additions, deletions } = planTunnelPeers(first(), none);
    expect(formatPlan([...additions.forwarding, ...additions.neighbours])).toBe(`# tunnel endpoints of peers
bridge fdb replace ${mac} dev minicni.vxlan dst 172.31.254.2 self permanent
ip neigh replace 10.244.2.0 dev minicni.vxlan lladdr ${mac} nud permanent
`);
    expect(deletions).toEqual({ forwarding: [], neighbours: [] });
  });

  test("knows what it knows", () => {
    const forwarding = first().forwarding;
    const neighbours = first().neighbours.map((it) => ({ ...it, isPermanent: true }));
    expect(planTunnelPeers(first(), { forwarding, neighbours })).toEqual({
      additions: { forwarding: [], neighbours: [] },
      deletions: { forwarding: [], neighbours: [] },
    });
  });

  test("overwrites an address that changed, and deletes nothing that was overwritten", () => {
    const forwarding = [{ mac, dst: address("172.31.254.99") }];
    const neighbours = [{ address: address("10.244.2.0"), mac: "0e:00:00:00:00:01", isPermanent: true }];
    const { additions, deletions } = planTunnelPeers(first(), { forwarding, neighbours });
    expect([additions.forwarding.length, additions.neighbours.length]).toEqual([1, 1]);
    expect(deletions).toEqual({ forwarding: [], neighbours: [] });
  });

  test("forgets a peer that is gone, and leaves what the kernel made by itself", () => {
    const gone = "0e:00:00:00:00:01";
    const forwarding = [{ mac: gone, dst: address("172.31.254.99") }];
    const neighbours = [
      { address: address("10.244.9.0"), mac: gone, isPermanent: true },
      { address: address("10.244.8.0"), mac: "", isPermanent: false },
    ];
    const { deletions } = planTunnelPeers(first(), { forwarding, neighbours });
    expect(
      formatPlan([...deletions.neighbours, ...deletions.forwarding]),
    ).toBe(`# tunnel endpoints of peers that are gone
ip neigh del 10.244.9.0 dev minicni.vxlan
bridge fdb del ${gone} dev minicni.vxlan dst 172.31.254.99 self
`);
  });
});

describe("planTunnelChange", () => {
  const path = (name: string, cidr: string, remote: string): Path => {
    const peer = { name, podCidrs: [prefix(cidr)], addresses: [address(remote)] };
    const mac = tunnelMac(name);
    const dst = prefix(cidr);
    const nextHop = tunnelNextHop(mac, dst);
    return { peer, dst, kind: "tunnel", underlay: 4, remote: address(remote), mac, nextHop };
  };
  const stays = path("stays", "10.244.5.0/24", "172.31.254.5");
  const moves = path("moves", "10.244.6.0/24", "172.31.254.6");
  const moved = path("moves", "10.244.6.0/24", "172.31.254.66");
  const goes = path("goes", "10.244.7.0/24", "172.31.254.7");
  const comes = path("comes", "10.244.8.0/24", "172.31.254.8");
  const device = (...paths: Path[]) => first(describeAll(SELF, paths));

  test("comes to what a look at the kernel comes to", () => {
    const [before, after] = [device(stays, moves, goes), device(stays, moved, comes)];
    const neighbours = before.neighbours.map((it) => ({ ...it, isPermanent: true }));
    const looked = planTunnelPeers(after, { forwarding: before.forwarding, neighbours });
    expect(planTunnelChange(after, before)).toEqual(looked);
    expect(looked.additions.forwarding).toHaveLength(2);
    expect(looked.additions.neighbours).toHaveLength(1);
    expect(looked.deletions.forwarding).toHaveLength(1);
    expect(looked.deletions.neighbours).toHaveLength(1);
  });

  test("has nothing to do for the same device", () => {
    const before = device(stays, moves);
    const nothing = { forwarding: [], neighbours: [] };
    expect(planTunnelChange(before, before)).toEqual({ additions: nothing, deletions: nothing });
    expect(planTunnelChange(device(stays, moves), before)).toEqual({
      additions: nothing,
      deletions: nothing,
    });
  });
});
