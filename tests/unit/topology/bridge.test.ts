import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import type { ObservedAddress, ObservedLink } from "../../../src/plan/state.ts";
import {
  type Bridge,
  type ForwardingFacts,
  gatewayPrefixes,
  parseRaDefaultLinks,
  planBridge,
  planForwarding,
} from "../../../src/topology/bridge.ts";
import { address, prefix, thrown } from "../../twin/words.ts";

const BRIDGE: Bridge = {
  name: "minicni0",
  mtu: 1450,
  promisc: false,
  addresses: [prefix("10.1.0.1/24")],
  forceAddress: false,
};
const LINK: ObservedLink = {
  index: 7,
  name: "minicni0",
  kind: "bridge",
  up: true,
  mtu: 1450,
  mac: "0a:58:0a:01:00:01",
  masterIndex: null,
  portState: null,
  hairpin: null,
  isolated: null,
  promisc: false,
  allmulti: false,
  txQueueLength: 1000,
  vlanFiltering: false,
  vxlan: null,
  alias: "",
};
const carries = (text: string, linkLocal = false): ObservedAddress => ({ prefix: prefix(text), linkLocal });

describe("planBridge", () => {
  test("makes a missing bridge, whole", () => {
    const plan = planBridge(
      { ...BRIDGE, promisc: true, addresses: [...BRIDGE.addresses, prefix("fd00::1/64")] },
      null,
      [],
    );
    expect(formatPlan(plan)).toBe(`# the bridge of this node's pods
ip link add name minicni0 mtu 1449 address 0a:58:0a:01:00:01 type bridge
# an MTU that stays, whatever its ports have
ip link set dev minicni0 mtu 1450
# pods must not be able to give routes to the node (CVE-2020-10749)
sysctl -w net.ipv6.conf.minicni0.accept_ra=0
# the gateway address is ours by configuration: no wait
sysctl -w net.ipv6.conf.minicni0.accept_dad=0
# the gateway address
ip addr replace 10.1.0.1/24 dev minicni0
ip addr replace fd00::1/64 dev minicni0 nodad
# promiscuous bridge
ip link set dev minicni0 promisc on
# the bridge up
ip link set dev minicni0 up
`);
  });

  test("makes a bridge that is no gateway without any address", () => {
    expect(formatPlan(planBridge({ ...BRIDGE, addresses: [] }, null, []))).not.toContain("ip addr");
  });

  test("changes nothing on a bridge that is as wished, whatever its MTU", () => {
    expect(planBridge(BRIDGE, { ...LINK, mtu: 9000 }, [carries("10.1.0.1/24")])).toEqual([]);
  });

  test("makes a missing bridge for VLANs with the filter on", () => {
    expect(formatPlan(planBridge({ ...BRIDGE, vlanFiltering: true }, null, []))).toContain(
      "ip link add name minicni0 mtu 1449 address 0a:58:0a:01:00:01 type bridge vlan_filtering 1\n",
    );
  });

  test.each([false, null])("turns the VLAN filter on where it is %j", (vlanFiltering) => {
    const wish = { ...BRIDGE, vlanFiltering: true };
    expect(formatPlan(planBridge(wish, { ...LINK, vlanFiltering }, [carries("10.1.0.1/24")]))).toBe(
      "# ports with VLANs of their own\nip link set dev minicni0 type bridge vlan_filtering 1\n",
    );
  });

  test("leaves the VLAN filter on for pods without VLAN: others may need it", () => {
    const filters = { ...LINK, vlanFiltering: true };
    for (const wish of [BRIDGE, { ...BRIDGE, vlanFiltering: false }, { ...BRIDGE, vlanFiltering: true }])
      expect(planBridge(wish, filters, [carries("10.1.0.1/24")])).toEqual([]);
  });

  test("makes a bridge promiscuous that is not", () => {
    const wish = { ...BRIDGE, promisc: true };
    expect(formatPlan(planBridge(wish, LINK, [carries("10.1.0.1/24")]))).toBe(
      "# promiscuous bridge\nip link set dev minicni0 promisc on\n",
    );
    expect(planBridge(wish, { ...LINK, promisc: true }, [carries("10.1.0.1/24")])).toEqual([]);
    expect(planBridge(BRIDGE, { ...LINK, promisc: true }, [carries("10.1.0.1/24")])).toEqual([]);
  });

  test("takes a bridge up that is down", () => {
    expect(formatPlan(planBridge(BRIDGE, { ...LINK, up: false }, [carries("10.1.0.1/24")]))).toBe(
      "# the bridge up\nip link set dev minicni0 up\n",
    );
  });

  test("leaves addresses of other subnets and link-local ones alone", () => {
    const wish = { ...BRIDGE, forceAddress: true, addresses: [prefix("fe80::1/64")] };
    expect(formatPlan(planBridge(wish, LINK, [carries("10.9.0.1/24"), carries("fe80::5/64", true)]))).toBe(
      "# the gateway address\nip addr replace fe80::1/64 dev minicni0 nodad\n",
    );
  });

  test.each(["10.1.0.2/24", "10.1.0.1/16", "10.0.0.1/8"])("refuses a bridge that carries %s", (found) => {
    expect(thrown(() => planBridge(BRIDGE, LINK, [carries(found)]))).toMatchObject({
      name: "BridgeConflict",
      message: `"minicni0" already has an IP address different from 10.1.0.1/24: it has ${found}`,
    });
  });

  test("replaces every contrary address with forceAddress", () => {
    const plan = planBridge({ ...BRIDGE, forceAddress: true }, LINK, [
      carries("10.1.0.2/24"),
      carries("10.1.0.3/24"),
    ]);
    expect(formatPlan(plan)).toBe(
      [
        "# forceAddress: another gateway address",
        "ip addr del 10.1.0.2/24 dev minicni0",
        "ip addr del 10.1.0.3/24 dev minicni0",
        "# the gateway address",
        "ip addr replace 10.1.0.1/24 dev minicni0",
        "",
      ].join("\n"),
    );
  });

  test.each([
    ["veth", "of type veth"],
    ["", "a physical device"],
  ])("refuses a name taken by a link of kind %j", (kind, what) => {
    expect(thrown(() => planBridge(BRIDGE, { ...LINK, kind }, []))).toMatchObject({
      name: "BridgeConflict",
      message: `minicni0 already exists and is ${what}, wanted a bridge`,
    });
  });

  test("has no undo: another attachment may use the bridge a moment later", () => {
    expect(planBridge(BRIDGE, null, []).filter(({ undo }) => undo !== undefined)).toEqual([]);
  });
});

test("gatewayPrefixes names each gateway once", () => {
  const gateway = address("10.1.0.1");
  expect(
    gatewayPrefixes([
      { gateway, length: 24 },
      { gateway, length: 24 },
    ]),
  ).toEqual([prefix("10.1.0.1/24")]);
});

describe("planForwarding", () => {
  const OFF: ForwardingFacts = { v4: "0\n", v6: "0\n", raDefaultLinks: ["eth0", "wlan0"] };
  const DUAL = new Set([4, 6] as const);

  test("keeps a router-advertised default route before it turns IPv6 forwarding on", () => {
    expect(formatPlan(planForwarding(DUAL, OFF))).toBe(
      [
        "# the node forwards for its pods",
        "sysctl -w net.ipv4.ip_forward=1",
        "# keep the default route learned by router advertisement",
        "sysctl -w net.ipv6.conf.eth0.accept_ra=2",
        "sysctl -w net.ipv6.conf.wlan0.accept_ra=2",
        "# the node forwards for its pods",
        "sysctl -w net.ipv6.conf.all.forwarding=1",
        "",
      ].join("\n"),
    );
  });

  test.each([
    ["both are on", DUAL, { ...OFF, v4: "1\n", v6: "1\n" }],
    ["there is no gateway", new Set<4 | 6>(), OFF],
    ["IPv6 is not in this kernel", new Set([6] as const), { ...OFF, v6: null }],
  ])("changes nothing when %s", (_when, families, facts) => {
    expect(planForwarding(families, facts)).toEqual([]);
  });
});

describe("parseRaDefaultLinks", () => {
  const ZERO = "0".repeat(32);
  const line = (dst: string, length: string, flags: string, link: string) =>
    `${dst} ${length} ${ZERO} 00 fe80${"0".repeat(27)}1 00000400 00000001 00000000 ${flags} ${link.padStart(8)}`;

  test("names links whose default route has RTF_ADDRCONF, once each", () => {
    const text = [
      line(ZERO, "00", "00450003", "eth0"),
      line(ZERO, "00", "00450003", "eth0"),
      line(ZERO, "00", "00000003", "eth1"),
      line(`2001${"0".repeat(28)}`, "40", "00450001", "eth2"),
      line(ZERO, "00", "00240000", "lo"),
      line(ZERO, "00", "00040000", "lo"),
      "",
    ].join("\n");
    expect(parseRaDefaultLinks(text)).toEqual(["eth0"]);
  });

  test.each(["", "\n", "nonsense", `${ZERO} 00`])("finds nothing in %j", (text) => {
    expect(parseRaDefaultLinks(text)).toEqual([]);
  });
});
