import { describe, expect, test } from "bun:test";
import { gatewayPortName, interfaceNameFault, isHostVethName } from "../../../src/net/ifname.ts";
import { formatPlan } from "../../../src/plan/format.ts";
import type { ObservedLink } from "../../../src/plan/state.ts";
import {
  gatewayDevice,
  planVlanGateway,
  type VlanGateway,
  type VlanGatewayFacts,
} from "../../../src/topology/vlan-gateway.ts";
import { prefix, thrown } from "../../twin/words.ts";

const WISH: VlanGateway = {
  bridge: "minicni0",
  vlan: 10,
  mtu: 1450,
  addresses: [prefix("10.1.0.1/24"), prefix("fd00::1/64")],
  forceAddress: false,
  preserveDefaultVlan: false,
};
const PORT = gatewayPortName("minicni0", 10);
const link = (index: number, name: string, kind: string, masterIndex: number | null): ObservedLink => ({
  index,
  name,
  kind,
  up: true,
  mtu: 1450,
  mac: "0a:58:0a:01:00:01",
  masterIndex,
  portState: null,
  hairpin: null,
  isolated: null,
  promisc: false,
  allmulti: false,
  txQueueLength: 1000,
  vlanFiltering: null,
  vxlan: null,
  alias: "",
});
const NOTHING: VlanGatewayFacts = { bridge: null, link: null, port: null, addresses: [] };
const DONE: VlanGatewayFacts = {
  bridge: link(7, "minicni0", "bridge", null),
  link: link(8, "minicni0.10", "veth", null),
  port: link(9, PORT, "veth", 7),
  addresses: WISH.addresses.map((address) => ({ prefix: address, linkLocal: false })),
};
const PORT_TEXT = `# the gateway's port into the bridge
ip link set dev ${PORT} master minicni0 addrgenmode none
# out of the VLAN of ports that have none of their own
bridge vlan del vid 1 dev ${PORT}
# the VLAN of what comes and goes untagged
bridge vlan add vid 10 dev ${PORT} pvid untagged
# the gateway's port up
ip link set dev ${PORT} up
`;
const ADDRESS_TEXT = `# the gateway address
ip addr replace 10.1.0.1/24 dev minicni0.10
ip addr replace fd00::1/64 dev minicni0.10 nodad
`;

describe("planVlanGateway", () => {
  test("makes a missing one, whole", () => {
    expect(
      formatPlan(planVlanGateway(WISH, NOTHING)),
    ).toBe(`# the gateway of the VLAN, and its port of the bridge
ip link add name minicni0.10 mtu 1450 address 0a:58:0a:01:00:01 type veth peer name mcnigffd6a47c4e mtu 1450 address 0e:0a:e1:0a:0a:93
# pods must not be able to give routes to the node (CVE-2020-10749)
sysctl -w net.ipv6.conf.minicni0/10.accept_ra=0
# the gateway address is ours by configuration: no wait
sysctl -w net.ipv6.conf.minicni0/10.accept_dad=0
${PORT_TEXT}${ADDRESS_TEXT}# the gateway of the VLAN up
ip link set dev minicni0.10 up
`);
  });

  test("changes nothing when all is there", () => {
    expect(planVlanGateway(WISH, DONE)).toEqual([]);
    expect(planVlanGateway({ ...WISH, preserveDefaultVlan: true }, DONE)).toEqual([]);
  });

  test.each([
    ["is down, left so by an ADD that was killed", { port: link(9, PORT, "veth", 7), isUp: false }],
    ["is in no bridge", { port: link(9, PORT, "veth", null), isUp: true }],
    ["is in another bridge", { port: link(9, PORT, "veth", 3), isUp: true }],
  ])("sets the port up again when it %s", (_how, { port, isUp }) => {
    expect(formatPlan(planVlanGateway(WISH, { ...DONE, port: { ...port, up: isUp } }))).toBe(PORT_TEXT);
  });

  test("sets the port up again when the bridge is new", () => {
    expect(formatPlan(planVlanGateway(WISH, { ...DONE, bridge: null }))).toBe(PORT_TEXT);
  });

  test("adds only the addresses that are missing", () => {
    expect(formatPlan(planVlanGateway(WISH, { ...DONE, addresses: [] }))).toBe(ADDRESS_TEXT);
  });

  test("takes the gateway up that is down", () => {
    const down = { ...link(8, "minicni0.10", "veth", null), up: false };
    expect(formatPlan(planVlanGateway(WISH, { ...DONE, link: down }))).toBe(
      "# the gateway of the VLAN up\nip link set dev minicni0.10 up\n",
    );
  });

  test("keeps the port in the default VLAN with preserveDefaultVlan", () => {
    const text = formatPlan(planVlanGateway({ ...WISH, preserveDefaultVlan: true }, NOTHING));
    expect(text.match(/^bridge.*/gm)).toEqual([`bridge vlan add vid 10 dev ${PORT} pvid untagged`]);
  });

  test("has no undo: all pods of the VLAN share it", () => {
    expect(planVlanGateway(WISH, NOTHING).filter(({ undo }) => undo !== undefined)).toEqual([]);
  });

  test("refuses a name that is too long, and says of what", () => {
    expect(
      thrown(() => planVlanGateway({ ...WISH, bridge: "long-bridge", vlan: 4094 }, NOTHING)),
    ).toMatchObject({
      name: "BridgeConflict",
      message: '"long-bridge.4094", the gateway of vlan 4094 on "long-bridge": interface name is too long',
    });
  });

  test("takes a name of just 15 bytes", () => {
    expect(planVlanGateway({ ...WISH, bridge: "long-bridg", vlan: 4094 }, NOTHING)).not.toEqual([]);
  });

  test("refuses a name taken by a link of another kind", () => {
    const vlan = link(8, "minicni0.10", "vlan", null);
    expect(thrown(() => planVlanGateway(WISH, { ...DONE, link: vlan }))).toMatchObject({
      name: "BridgeConflict",
      message: "minicni0.10 already exists and is of type vlan, wanted a veth",
    });
    const port = link(9, PORT, "dummy", 7);
    expect(thrown(() => planVlanGateway(WISH, { ...DONE, port }))).toMatchObject({
      message: `${PORT} already exists and is of type dummy, wanted a veth`,
    });
  });

  test("refuses a contrary address, by the gateway's name", () => {
    const addresses = [{ prefix: prefix("10.1.0.9/24"), linkLocal: false }];
    expect(thrown(() => planVlanGateway(WISH, { ...DONE, addresses }))).toMatchObject({
      message: '"minicni0.10" already has an IP address different from 10.1.0.1/24: it has 10.1.0.9/24',
    });
  });
});

test("gatewayDevice is the bridge for pods without VLAN", () => {
  expect([10, 0, null].map((vlan) => gatewayDevice("minicni0", vlan))).toEqual([
    "minicni0.10",
    "minicni0",
    "minicni0",
  ]);
});

test("gatewayPortName is a name the kernel takes, ours, and never that of a pod's veth", () => {
  expect(PORT).toMatch(/^mcnig[0-9a-f]{10}$/);
  expect(interfaceNameFault(PORT)).toBeNull();
  expect(isHostVethName(PORT)).toBe(false);
  expect(isHostVethName("mcni63935ca0bad")).toBe(true);
  expect(["mcni", "mcni63935ca0ba", "veth63935ca0bad", "mcni63935ca0badd"].some(isHostVethName)).toBe(false);
  expect(new Set([PORT, gatewayPortName("minicni0", 11), gatewayPortName("minicni1", 10)]).size).toBe(3);
});
