import { describe, expect, test } from "bun:test";
import { nextHopsCheck } from "../../../src/doctor/checks/b2-next-hops.ts";
import type { NextHops } from "../../../src/doctor/sections/next-hops.ts";
import { findingsOf, linesOf } from "./facts.ts";

type Peer = NextHops["peers"][number];
const direct = (name: string, address: string): Peer => ({
  name,
  address,
  ready: "True",
  route: { gateway: null, dev: "eth0", isLocal: false },
});
const behind = (name: string, address: string, gateway = "10.9.0.254"): Peer => ({
  ...direct(name, address),
  route: { gateway, dev: "eth0", isLocal: false },
});
const lost = (name: string, address: string): Peer => ({ ...direct(name, address), route: null });
const neighbour = (address: string, state: string) => ({ dev: "eth0", address, mac: null, state });
const PEERS = [direct("n2", "10.9.0.2"), behind("n3", "10.8.0.3"), behind("n4", "10.8.0.4")];
const of = (peers: readonly Peer[], ...neighbours: NextHops["neighbours"]) =>
  findingsOf(nextHopsCheck, {
    nextHops: { peers: [...peers], neighbours, isAsked: true, ours: ["minicni0", "minicni.vxlan"] },
  });

describe("B2, the way to peers", () => {
  test.each<[string, readonly Peer[], NextHops["neighbours"], string]>([
    [
      "all well",
      PEERS,
      [neighbour("10.9.0.2", "REACHABLE"), neighbour("10.9.0.254", "STALE")],
      "PASS B2 3 addresses of 3 peers by 2 next hops on eth0, none known dead",
    ],
    [
      "nothing known yet",
      PEERS,
      [],
      "PASS B2 3 addresses of 3 peers by 2 next hops on eth0, none known dead",
    ],
    ["alone", [], [], "SKIP B2 way to peers: there is no peer"],
    [
      "a dead peer",
      PEERS,
      [neighbour("10.9.0.2", "FAILED")],
      "WARN B2 nobody answers for n2 (10.9.0.2) on eth0",
    ],
    [
      "a dead gateway",
      PEERS,
      [neighbour("10.9.0.254", "FAILED")],
      "WARN B2 gateway 10.9.0.254 on eth0 does not answer; behind it: 2 of 3 addresses of peers: n3, n4",
    ],
    [
      "one that is still asked for",
      PEERS.slice(0, 1),
      [neighbour("10.9.0.2", "INCOMPLETE")],
      "FAIL B2 nobody answers for n2 (10.9.0.2) on eth0",
    ],
    [
      "a dead neighbour that is nobody's next hop",
      PEERS,
      [neighbour("10.9.0.77", "FAILED")],
      "PASS B2 3 addresses of 3 peers by 2 next hops on eth0, none known dead",
    ],
    [
      "no route to one",
      [...PEERS, lost("n5", "10.7.0.5")],
      [],
      "WARN B2 this node has no route to n5 (10.7.0.5)",
    ],
    [
      "no route to any",
      [lost("n5", "10.7.0.5"), lost("n6", "10.7.0.6")],
      [],
      "FAIL B2 this node has no route to any peer: n5, n6",
    ],
    [
      "a way into the tunnel",
      [{ ...direct("n2", "10.9.0.2"), route: { gateway: null, dev: "minicni.vxlan", isLocal: false } }],
      [],
      "FAIL B2 the way to n2 (10.9.0.2) leads into minicni.vxlan, which is for pods",
    ],
  ])("%s", (_what, peers, neighbours, line) => {
    expect(linesOf(of(peers, ...neighbours))).toEqual([line]);
  });

  test("an address of this node is B3's matter", () => {
    const local = { ...direct("n2", "10.9.0.1"), route: { gateway: null, dev: "lo", isLocal: true } };
    expect(of([local])[0]?.level).toBe("skip");
  });

  test("a Node that is known to be down explains it", () => {
    const peer: Peer = { ...direct("n2", "10.9.0.2"), ready: "Unknown" };
    const [finding] = of([peer], neighbour("10.9.0.2", "FAILED"));
    expect(finding?.cause).toContain("not Ready");
    expect(finding?.evidence).toEqual([
      "10.9.0.2 dev eth0 FAILED",
      "n2 10.9.0.2 (its Node is not Ready: Unknown)",
    ]);
  });

  test("one that was not asked again may be back since", () => {
    const nextHops = {
      peers: PEERS.slice(0, 1),
      neighbours: [neighbour("10.9.0.2", "FAILED")],
      isAsked: false,
      ours: [],
    };
    expect(linesOf(findingsOf(nextHopsCheck, { nextHops }))).toEqual([
      "WARN B2 nobody answered for n2 (10.9.0.2) on eth0",
    ]);
  });

  test("of thousands the first few are named", () => {
    const many = Array.from({ length: 3_000 }, (_, index) =>
      lost(`n${index}`, `10.7.${index >> 8}.${index & 255}`),
    );
    const [finding] = of(many);
    expect(finding?.message).toBe("this node has no route to any peer: n0, n1, n2, n3 and 2996 more");
  });
});
