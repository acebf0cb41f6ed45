import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { tunnelMac, tunnelNextHop } from "../../../src/topology/endpoint.ts";
import {
  planTunnel,
  planTunnelRemoval,
  type TunnelDevice,
  tunnelConflict,
} from "../../../src/topology/tunnel.ts";
import { fakeLink } from "../../twin/machine.ts";
import { address, prefix } from "../../twin/words.ts";
import { describeAll, first, NODE2_HOP, NODE2_MAC, PATHS, SELF } from "./tunnel-words.ts";

function made(
  device: TunnelDevice,
  known: Partial<Parameters<typeof fakeLink>[0]> = {},
  values: Readonly<Record<string, string>> = {},
) {
  const { name, mac, mtu, vni, port, local } = device.link;
  const vxlan = { vni, port, local, learning: false };
  const addresses = device.addresses.map((it) => ({ prefix: it, linkLocal: false }));
  return {
    link: fakeLink({ index: 9, name, kind: "vxlan", up: true, mac, mtu, vxlan, ...known }),
    addresses,
    sysctl: (key: string) => values[key] ?? null,
  };
}

describe("describeTunnels", () => {
  test("has a device a family, 50 and 70 bytes smaller than its link", () => {
    expect(describeAll().map(({ link }) => [link.name, link.mtu])).toEqual([
      ["minicni.vxlan", 1450],
      ["minicni.vxlan6", 1430],
    ]);
  });

  test("never has an MTU that IPv6 forbids, where it is to carry IPv6", () => {
    expect(describeAll(SELF, PATHS, 1300).map(({ link }) => link.mtu)).toEqual([1280, 1280]);
    const v4 = { ...SELF, podCidrs: SELF.podCidrs.slice(0, 1), addresses: SELF.addresses.slice(0, 1) };
    expect(describeAll(v4, [], 1300).map(({ link }) => link.mtu)).toEqual([1250]);
  });

  test("has a next hop that the kernel takes whatever routes lead to the pod CIDR: for IPv6 by the peer's MAC", () => {
    expect(tunnelMac("node2")).toBe(NODE2_MAC);
    expect(tunnelNextHop(tunnelMac("node2"), prefix("10.244.2.0/24"))).toEqual(address("10.244.2.0"));
    expect(tunnelNextHop(tunnelMac("node2"), prefix("fd00:10:244:2::/64"))).toEqual(address(NODE2_HOP));
    expect(describeAll().map(({ peers }) => peers)).toEqual([
      [address("10.244.2.0")],
      [address("fd00:10:244:2::")],
    ]);
  });

  test("carries IPv6 over the IPv4 device where the node has no IPv6 address", () => {
    const [device, ...others] = describeAll({ ...SELF, addresses: [address("172.31.255.1")] });
    expect(others).toEqual([]);
    expect(device?.addresses).toEqual([prefix("10.244.1.0/32"), prefix("fd00:10:244:1::/128")]);
  });

  test("gives every node a unicast MAC of its own, from its name alone", () => {
    expect(tunnelMac("node1")).not.toBe(tunnelMac("node2"));
    expect(Number.parseInt(tunnelMac("node1").slice(0, 2), 16) & 3).toBe(2);
  });
});

describe("planTunnel", () => {
  test("makes a device from nothing", () => {
    expect(formatPlan(planTunnel(first(), null))).toBe(`# VXLAN device to the peers behind a router
ip link add name minicni.vxlan mtu 1450 address ${tunnelMac("node1")} type vxlan id 157 dstport 8472 local 172.31.255.1 nolearning
ip link set dev minicni.vxlan addrgenmode none
sysctl -w net.ipv6.conf.minicni/vxlan.accept_ra=0
sysctl -w net.ipv4.conf.minicni/vxlan.rp_filter=2
ip link set dev minicni.vxlan up
ip addr replace 10.244.1.0/32 dev minicni.vxlan
`);
  });

  test("has nothing to do for a device that is as it should be", () => {
    expect(planTunnel(first(), made(first()))).toEqual([]);
  });

  test("follows the MTU of the link in place", () => {
    expect(formatPlan(planTunnel(first(), made(first(), { mtu: 1400 })))).toContain(
      "\nip link set dev minicni.vxlan mtu 1450\n",
    );
  });

  test.each([
    ["another VNI", { vni: 1 }],
    ["another port", { port: 4789 }],
    ["another source", { local: address("172.31.255.9") }],
    ["no source", { local: null }],
    ["learning on", { learning: true }],
  ])("makes a device anew that has %s", (_what, changed) => {
    const vxlan = { vni: 157, port: 8472, local: address("172.31.255.1"), learning: false, ...changed };
    const plan = planTunnel(first(), made(first(), { vxlan }));
    expect(plan.map(({ op }) => op).slice(0, 2)).toEqual(["link.del", "link.add"]);
  });

  test("takes away an address of an earlier pod CIDR", () => {
    const observed = made(first());
    const old = { prefix: prefix("10.244.9.0/32"), linkLocal: false };
    expect(
      formatPlan(planTunnel(first(), { ...observed, addresses: [...observed.addresses, old] })),
    ).toContain("ip addr del 10.244.9.0/32 dev minicni.vxlan");
  });

  test.each([
    ["a strict filter of its own", { "net/ipv4/conf/minicni.vxlan/rp_filter": "1" }, "rp_filter=2"],
    ["a strict filter of all links", { "net/ipv4/conf/all/rp_filter": "1" }, "rp_filter=2"],
    ["advertisements taken", { "net/ipv6/conf/minicni.vxlan/accept_ra": "2" }, "accept_ra=0"],
  ])("puts back what was set behind it: %s", (_what, values, wanted) => {
    expect(formatPlan(planTunnel(first(), made(first(), {}, values)))).toContain(wanted);
  });

  test("leaves settings that do no harm", () => {
    const loose = { "net/ipv4/conf/minicni.vxlan/rp_filter": "2", "net/ipv4/conf/all/rp_filter": "1" };
    expect(planTunnel(first(), made(first(), {}, loose))).toEqual([]);
    const off = { "net/ipv4/conf/minicni.vxlan/rp_filter": "0", "net/ipv4/conf/all/rp_filter": "0" };
    expect(planTunnel(first(), made(first(), {}, off))).toEqual([]);
  });

  test("raises a device that somebody took down", () => {
    expect(planTunnel(first(), made(first(), { up: false })).map(({ op }) => op)).toEqual(["link.set"]);
  });

  test("does not touch a link of another kind with our name", () => {
    expect(tunnelConflict(first(), made(first(), { kind: "bridge" }))).toContain("minicni.vxlan is a bridge");
    expect(tunnelConflict(first(), made(first()))).toBeNull();
  });
});

test("removing the tunnel removes VXLAN devices by our names only", () => {
  const links = [
    fakeLink({ name: "minicni.vxlan", kind: "vxlan" }),
    fakeLink({ name: "minicni.vxlan6", kind: "bridge" }),
    fakeLink({ name: "flannel.1", kind: "vxlan" }),
  ];
  expect(formatPlan(planTunnelRemoval(links))).toContain("ip link del dev minicni.vxlan\n");
  expect(planTunnelRemoval(links)).toHaveLength(1);
});
