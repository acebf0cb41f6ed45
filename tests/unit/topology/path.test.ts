import { describe, expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../../src/net/address.ts";
import type { ClusterNode } from "../../../src/net/node.ts";
import { formatPrefix } from "../../../src/net/prefix.ts";
import type { RouteLookup } from "../../../src/plan/state.ts";
import { type Backend, choosePaths, type Path } from "../../../src/topology/path.ts";
import { address, prefix } from "../../twin/words.ts";

const node = (name: string, podCidrs: readonly string[], addresses: readonly string[]): ClusterNode => ({
  name,
  podCidrs: podCidrs.map(prefix),
  addresses: addresses.map(address),
});
const SELF = node("self", ["10.1.0.0/24", "fd00:0::/64"], ["192.168.0.1", "fd01::1"]);
const NEAR = node("near", ["10.1.1.0/24", "fd00:1::/64"], ["192.168.0.2", "fd01::2"]);
const FAR = node("far", ["10.1.2.0/24", "fd00:2::/64"], ["192.168.9.2", "fd01:9::2"]);
const OLD = node("old", ["10.1.3.0/24", "fd00:3::/64"], ["192.168.9.3"]);

const DIRECT: RouteLookup = { gateway: null, ifindex: 2, isLocal: false };
const ROUTED: RouteLookup = { gateway: parseAddress("192.168.0.254"), ifindex: 2, isLocal: false };
const LOCAL: RouteLookup = { gateway: null, ifindex: 1, isLocal: true };
const ANSWERS = new Map<string, RouteLookup>([
  ["192.168.0.2", DIRECT],
  ["fd01::2", DIRECT],
  ["192.168.9.2", ROUTED],
  ["fd01:9::2", ROUTED],
  ["192.168.9.3", ROUTED],
  ["192.168.0.1", LOCAL],
]);

function choose(backend: Backend, peers: readonly ClusterNode[], self = SELF, answers = ANSWERS) {
  const { paths, faults } = choosePaths(peers, self, backend, (it) => answers.get(formatAddress(it)) ?? null);
  return { paths: paths.map(text), faults: faults.map(({ node, message }) => `${node}: ${message}`) };
}

function text(path: Path): string {
  const way =
    path.kind === "direct"
      ? `via ${formatAddress(path.via)} link ${path.ifindex}`
      : `in VXLAN over IPv${path.underlay} to ${formatAddress(path.remote)}`;
  return `${formatPrefix(path.dst)} ${way}`;
}

describe("backend auto", () => {
  test("goes direct to a peer on the same link and through the tunnel to one behind a router", () => {
    expect(choose("auto", [NEAR, FAR])).toEqual({
      paths: [
        "10.1.1.0/24 via 192.168.0.2 link 2",
        "fd00:1::/64 via fd01::2 link 2",
        "10.1.2.0/24 in VXLAN over IPv4 to 192.168.9.2",
        "fd00:2::/64 in VXLAN over IPv6 to fd01:9::2",
      ],
      faults: [],
    });
  });

  test("decides for each family alone", () => {
    const answers = new Map(ANSWERS).set("fd01:9::2", DIRECT);
    expect(choose("auto", [FAR], SELF, answers).paths).toEqual([
      "10.1.2.0/24 in VXLAN over IPv4 to 192.168.9.2",
      "fd00:2::/64 via fd01:9::2 link 2",
    ]);
  });

  test("tunnels a family that the peer has no address of over the other one", () => {
    expect(choose("auto", [OLD]).paths).toEqual([
      "10.1.3.0/24 in VXLAN over IPv4 to 192.168.9.3",
      "fd00:3::/64 in VXLAN over IPv4 to 192.168.9.3",
    ]);
  });
});

describe("backend host-gw", () => {
  test("names a peer behind a router, with the gateway and the way out, and routes the rest", () => {
    const { paths, faults } = choose("host-gw", [FAR, NEAR]);
    expect(paths).toHaveLength(2);
    expect(faults[0]).toBe(
      "far: its InternalIP 192.168.9.2 is behind gateway 192.168.0.254, which does not know its pod CIDR: use backend auto or vxlan",
    );
  });

  test("names a peer without an address of the pod CIDR's family", () => {
    expect(choose("host-gw", [OLD]).faults).toContain("old: has an IPv6 pod CIDR and no IPv6 InternalIP");
  });

  test("names a peer that no route leads to", () => {
    expect(choose("host-gw", [NEAR], SELF, new Map()).faults).toEqual([
      "near: its InternalIP 192.168.0.2 is unreachable: this node has no route to it",
      "near: its InternalIP fd01::2 is unreachable: this node has no route to it",
    ]);
  });
});

describe("backend vxlan", () => {
  test("tunnels to peers on the same link too", () => {
    expect(choose("vxlan", [NEAR]).paths).toEqual([
      "10.1.1.0/24 in VXLAN over IPv4 to 192.168.0.2",
      "fd00:1::/64 in VXLAN over IPv6 to fd01::2",
    ]);
  });

  test("names a peer that shares no family with this node", () => {
    const v6 = node("v6", ["fd00:7::/64"], ["fd01::7"]);
    const v4 = node("self", ["10.1.0.0/24"], ["192.168.0.1"]);
    expect(choose("vxlan", [v6], v4)).toEqual({
      paths: [],
      faults: ["v6: has no InternalIP of a family that this node has one of"],
    });
  });
});

test.each(["auto", "host-gw", "vxlan"] as const)(
  "%s: a peer with an address of this machine is named",
  (it) => {
    const twin = node("twin", ["10.1.9.0/24"], ["192.168.0.1"]);
    expect(choose(it, [twin, NEAR])).toMatchObject({
      faults: ["twin: its InternalIP 192.168.0.1 is an address of this node too"],
      paths: { length: 2 },
    });
  },
);
