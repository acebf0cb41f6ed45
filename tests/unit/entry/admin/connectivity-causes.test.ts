import { describe, expect, test } from "bun:test";
import { findCauses } from "../../../../src/entry/admin/connectivity/causes.ts";
import { describeProbe, type Probe, withAbsent } from "../../../../src/entry/admin/connectivity/judge.ts";
import type { TargetKind } from "../../../../src/entry/admin/connectivity/questions.ts";
import { parseAddress } from "../../../../src/net/address.ts";
import { probeOf } from "./connectivity-sample.ts";

const AROUND = { mtu: 1450, vxlanPort: 8472, links: [{ name: "eth0", mtu: 1500 }] };
const TUNNEL = { way: "tunnel" } as const;

/** All that is asked of n2 in one family; those named are lost. */
function ofPeer(family: 4 | 6, lost: readonly string[], way: Partial<Probe> = TUNNEL): Probe[] {
  const all: [Probe["from"], TargetKind][] = [
    ["node", "node"],
    ["pod", "node"],
    ["pod", "tunnel"],
    ["pod", "gateway"],
  ];
  return all.map(([from, to]) => {
    const status = lost.includes(`${from} ${to}`) ? "lost" : "ok";
    return probeOf({ from, to, family, status, ...(to === "node" ? {} : way) });
  });
}

const PODS = ["pod tunnel", "pod gateway"];
const ALL = ["node node", "pod node", ...PODS];
const causesOf = (probes: readonly Probe[]) =>
  findCauses(probes, AROUND).map(({ about, families, cause }) => `${about} ${families.join("+")}: ${cause}`);

describe("probable causes", () => {
  test.each<[string, Probe[], string[]]>([
    ["all well", [...ofPeer(4, []), ...ofPeer(6, [])], []],
    [
      "the tunnel is dropped, in both families",
      [...ofPeer(4, PODS), ...ofPeer(6, PODS)],
      ["n2 4+6: n2 answers, its pods do not: the tunnel (UDP port 8472) is dropped on the way or on n2"],
    ],
    [
      "one family alone",
      [...ofPeer(4, []), ...ofPeer(6, PODS)],
      [
        "n2 6: n2 answers, its pods do not: the tunnel (UDP port 8472) is dropped on the way or on n2; IPv4 is well",
      ],
    ],
    [
      "direct, and the network wants no addresses of pods",
      ofPeer(4, PODS, { way: "direct" }),
      [
        "n2 4: n2 answers, its pods do not: the network between the nodes drops packets with pods' addresses, or n2 does not forward",
      ],
    ],
    [
      "the peer is down",
      ofPeer(4, ALL),
      ["n2 4: n2 does not answer at all: it is down, or a firewall is in between"],
    ],
    [
      "only the peer's own address is silent",
      ofPeer(4, ["node node"]),
      [
        "n2 4: pods of n2 answer, its own address does not: a firewall drops what this node sends to it, or its refusal (ICMP)",
      ],
    ],
    ["some", ofPeer(4, ["pod gateway"]), ["n2 4: of n2 some addresses answer and some do not"]],
    [
      "no route of ours",
      ofPeer(4, PODS, { way: "none", address: "10.244.2.1" }),
      ["n2 4: this node has no route to the pods of n2 (10.244.2.1)"],
    ],
    [
      "no route at all",
      [probeOf({ status: "lost", small: "unreachable", route: "RTNETLINK answers: Network is unreachable" })],
      ["n2 4: this node has no route to 10.9.0.2"],
    ],
    [
      "a firewall against pods",
      [probeOf({ from: "pod", to: "own", peer: null, status: "lost" })],
      ["this node 4: a pod does not reach its own node: a firewall of this node drops what comes from pods"],
    ],
    [
      "an address of --to",
      [probeOf({ to: "given", peer: null, status: "lost", address: "10.1.1.1" })],
      ["10.1.1.1 4: 10.1.1.1 does not answer, neither by refusing UDP nor to ping"],
    ],
    [
      "full packets between nodes, with what fits",
      [probeOf({ status: "cut", full: "too big", fits: 1400 })],
      [
        "n2 4: small packets arrive, full ones that nobody may cut do not: a link between the nodes takes less than the 1500 bytes of eth0; 1400 bytes fit",
      ],
    ],
    [
      "full packets of pods alone",
      [probeOf({}), probeOf({ from: "pod", to: "tunnel", status: "cut", full: "silent" })],
      [
        "n2 4: small packets arrive, full ones that nobody may cut do not: a link of pods, a bridge or a tunnel takes less than the 1450 bytes that pods have; nobody says how much fits",
      ],
    ],
  ])("%s", (_what, probes, expected) => {
    expect(causesOf(probes)).toEqual(expected);
  });

  test("a gateway alone, where the peer has no tunnel, may wait for its first pod: it says so", () => {
    const probes = [probeOf({}), probeOf({ from: "pod", to: "gateway", status: "lost", way: "direct" })];
    const [found] = findCauses(probes, AROUND);
    expect(found?.cause).toEndWith(
      "or n2 does not forward, unless no pod has run on n2 yet, since the address comes with the first one",
    );
  });

  test("the evidence has sizes, what fits and the route", () => {
    const cut = probeOf({ status: "cut", full: "too big", fits: 1400, route: "10.9.0.2 dev eth0" });
    expect(findCauses([cut], AROUND)[0]?.evidence).toEqual([
      "node → 10.9.0.2: small packet answered, 1500 bytes too big (1400 fit); ip route get: 10.9.0.2 dev eth0",
      "links of this node: eth0 mtu 1500",
    ]);
  });
});

describe("a gateway address that does not answer", () => {
  const gateway = probeOf({ from: "pod", to: "gateway", status: "lost" });

  test("is absent where the peer's end of the tunnel answers and no pod of it is known", () => {
    const tunnel = probeOf({ from: "pod", to: "tunnel" });
    expect(withAbsent([tunnel, gateway]).map(({ status }) => status)).toEqual(["ok", "absent"]);
    expect(causesOf(withAbsent([tunnel, gateway]))).toEqual([]);
  });

  test("is lost where nothing proves the way, and where the peer has pods", () => {
    expect(withAbsent([gateway])[0]?.status).toBe("lost");
    const known = [probeOf({ from: "pod", to: "tunnel" }), probeOf({ from: "pod", to: "pod" }), gateway];
    expect(withAbsent(known).at(-1)?.status).toBe("lost");
  });
});

test("a probe from its answers", () => {
  const address = parseAddress("10.244.2.1") ?? { family: 4, value: 0n };
  const question = { from: "pod", kind: "gateway", peer: "n2", address, fullBytes: 1450, way: null } as const;
  const asked = {
    question,
    small: { kind: "answered", rttMs: 0.5 },
    full: { kind: "too big", mtu: 1400 },
  } as const;
  const routes = new Map([["10.244.2.1", "10.244.2.1 dev minicni.vxlan"]]);
  expect(describeProbe(asked, routes)).toEqual({
    from: "pod",
    to: "gateway",
    peer: "n2",
    address: "10.244.2.1",
    family: 4,
    status: "cut",
    rttMs: 0.5,
    small: "answered",
    fullBytes: 1450,
    full: "too big",
    fits: 1400,
    way: null,
    route: "10.244.2.1 dev minicni.vxlan",
  });
  expect(describeProbe({ ...asked, small: { kind: "silent" }, full: null }, routes).status).toBe("lost");
  expect(describeProbe({ ...asked, full: { kind: "answered", rttMs: 1 } }, routes)).toMatchObject({
    status: "ok",
    route: null,
  });
});
