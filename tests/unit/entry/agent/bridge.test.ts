import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createBridgeRepair } from "../../../../src/entry/agent/bridge.ts";
import { countOwnAddresses } from "../../../../src/entry/agent/networks.ts";
import { type AttachmentRecord, writeRecord } from "../../../../src/host/records.ts";
import { hostVethName } from "../../../../src/net/ifname.ts";
import { createFakeMachine, type FakeMachine, fakeLink } from "../../../twin/machine.ts";
import { fakeRecord } from "../../../twin/record.ts";

const SILENT = { changes: [], faults: [] };
let root = "";
let machine: FakeMachine;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
  machine = createFakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const settings = () => ({ stateDir: `${root}/run`, confDir: `${root}/net.d` });
const repair = () => createBridgeRepair(machine, settings()).pass();

function configure(plugin: object, name = "pods"): void {
  const list = {
    cniVersion: "1.0.0",
    name,
    plugins: [{ type: "loopback" }, { type: "minicni", stateDir: `${root}/run`, ...plugin }],
  };
  machine.writeFile(`${root}/net.d/50-${name}.conflist`, JSON.stringify(list));
}

function publish(...podCidrs: string[]): void {
  machine.writeFile(`${root}/run/node.json`, JSON.stringify({ ready: true, podCidrs, bootId: "boot-1" }));
}

/** A live attachment that hangs on nothing. */
function attach(containerId: string, known: Partial<AttachmentRecord> = {}, network = "pods"): string {
  const hostVeth = hostVethName(network, containerId, "eth0");
  const record = fakeRecord(network, containerId, { dataDir: `${root}/networks`, ...known });
  writeRecord(machine, `${root}/run`, { network, containerId, ifname: "eth0" }, record);
  const index = 100 + machine.linksByName.size;
  machine.linksByName.set(hostVeth, fakeLink({ index, name: hostVeth, kind: "veth", up: true }));
  return hostVeth;
}

const masterOf = (name: string) => machine.linksByName.get(name)?.masterIndex ?? null;
const bridgeIndex = () => machine.linksByName.get("minicni0")?.index ?? -1;

describe("the bridge of live pods", () => {
  test("is made again from the conflist: MTU of the records, gateways of the ranges in use, ports", async () => {
    const ranges = [[{ subnet: "10.1.0.0/24" }], [{ subnet: "10.2.0.0/24" }, { subnet: "10.3.0.0/24" }]];
    configure({ ipam: { ranges } });
    const veth = attach("c1", { addresses: ["10.1.0.5", "10.3.0.9"] });
    const { changes, faults } = await repair();
    expect(faults).toEqual([]);
    expect(changes).toContain("ip link set dev minicni0 mtu 1400");
    expect(changes.filter((command) => command.startsWith("ip addr"))).toEqual([
      "ip addr replace 10.1.0.1/24 dev minicni0",
      "ip addr replace 10.3.0.1/24 dev minicni0",
    ]);
    expect(masterOf(veth)).toBe(bridgeIndex());
    expect(machine.linksByName.get(veth)?.hairpin).toBe(true);
    expect(await repair()).toEqual(SILENT);
  });

  test("has no gateway where the configuration wants none", async () => {
    configure({ isGateway: false, ipam: { subnet: "10.1.0.0/24" } });
    attach("c1");
    const { changes } = await repair();
    expect(changes).toContain("ip link set dev minicni0 up");
    expect(changes.join()).not.toContain("ip addr");
    expect(changes.join()).not.toContain("ip_forward");
  });

  test("of the agent's own network comes from the pod CIDRs, in their order", async () => {
    publish("fd00:1::/64", "10.1.0.0/24");
    attach("c1", { addresses: ["fd00:1::5", "10.1.0.5"] }, "minicni");
    const { changes } = await repair();
    expect(changes.filter((command) => command.startsWith("ip addr"))).toEqual([
      "ip addr replace fd00:1::1/64 dev minicni0 nodad",
      "ip addr replace 10.1.0.1/24 dev minicni0",
    ]);
  });

  test("a port that must be isolated or in a VLAN is down until it is", async () => {
    configure({ ipam: { subnet: "10.1.0.0/24" } });
    const veth = attach("c1", { isolated: true });
    const { changes } = await repair();
    expect(changes.filter((command) => command.includes(veth))).toEqual([
      `ip link set dev ${veth} down`,
      `ip link set dev ${veth} master minicni0`,
      `ip link set dev ${veth} up type bridge_slave hairpin on isolated on`,
    ]);
  });

  test("one port that can't be brought back does not keep the others", async () => {
    configure({ ipam: { subnet: "10.1.0.0/24" } });
    const [bad, good] = [attach("c1", { isolated: true }), attach("c2", { isolated: true })];
    machine.failOn = (step) => step.op === "link.set" && step.name === bad;
    const { faults } = await repair();
    expect(faults).toEqual([expect.stringContaining(bad)]);
    expect(masterOf(good)).toBe(bridgeIndex());
  });
});

describe("attachments that do not count", () => {
  test.each([
    ["of another boot", { bootId: "boot-0" }],
    ["not finished", { phase: "reserved" }],
    ["of another plugin", { kind: "ipam" }],
  ] as const)("%s", async (_what, known) => {
    configure({ ipam: { subnet: "10.1.0.0/24" } });
    attach("c1", known);
    expect(await repair()).toEqual(SILENT);
  });

  test("whose link is gone", async () => {
    configure({ ipam: { subnet: "10.1.0.0/24" } });
    machine.linksByName.delete(attach("c1"));
    expect(await repair()).toEqual(SILENT);
  });
});

describe("what is not known", () => {
  test.each<[string, Partial<AttachmentRecord>, string]>([
    ["a network without a configuration", {}, "other"],
    ["addresses by another plugin", { ipam: "whereabouts" }, "pods"],
    ["an address of no range", { addresses: ["10.9.0.5"] }, "pods"],
  ])("%s: told, and no bridge is made", async (_what, known, network) => {
    configure({ ipam: { subnet: "10.1.0.0/24" } });
    publish("10.1.0.0/24");
    attach("c1", known, network);
    const { changes, faults } = await repair();
    expect(changes).toEqual([]);
    expect(faults).toEqual([
      expect.stringContaining(`bridge minicni0 is missing, and no range of ${network}`),
    ]);
    expect(machine.linksByName.has("minicni0")).toBe(false);
  });

  test("but to a bridge that is there its ports come back", async () => {
    machine.linksByName.set("minicni0", fakeLink({ index: 9, name: "minicni0", kind: "bridge", up: true }));
    const veth = attach("c1", {}, "other");
    expect((await repair()).faults).toEqual([]);
    expect(masterOf(veth)).toBe(9);
  });

  test("unless it filters by VLAN", async () => {
    const bridge = { index: 9, name: "minicni0", kind: "bridge", up: true, vlanFiltering: true };
    machine.linksByName.set("minicni0", fakeLink(bridge));
    const veth = attach("c1", {}, "other");
    expect((await repair()).faults).toEqual([expect.stringContaining("its VLANs are not known")]);
    expect(masterOf(veth)).toBeNull();
  });

  test("a conflist of another state folder says nothing of our networks", async () => {
    configure({ stateDir: "/run/theirs", ipam: { subnet: "10.1.0.0/24" } });
    attach("c1");
    expect((await repair()).faults).toEqual([expect.stringContaining("no range of pods is known")]);
  });
});

describe("how full the agent's own network is", () => {
  const reserve = (...addresses: string[]) => {
    for (const address of addresses) machine.writeFile(`${root}/networks/minicni/${address}`, "c1\r\neth0");
  };
  const own = (plugin: object) => configure({ dataDir: `${root}/networks`, ...plugin }, "minicni");

  test("used and free of each pod CIDR; the gateway is neither", () => {
    own({});
    publish("10.1.0.0/29", "fd00:1::/64");
    reserve("10.1.0.2", "10.1.0.6", "fd00:1::2", "10.99.0.1", "lock", "last_reserved_ip.0");
    expect(countOwnAddresses(machine, settings())).toEqual([
      { range: "10.1.0.1-10.1.0.6", used: 2, free: 3 },
      { range: "fd00:1::1-fd00:1::ffff:ffff:ffff:ffff", used: 1, free: 2 ** 20 - 2 },
    ]);
  });

  test("an address behind the window of a large range is used, and takes none of what can be given", () => {
    own({});
    publish("fd00:1::/64");
    reserve("fd00:1::ffff:ffff");
    expect(countOwnAddresses(machine, settings())).toMatchObject([{ used: 1, free: 2 ** 20 - 1 }]);
  });

  test("nothing while nothing is published, or another plugin manages them", () => {
    expect(countOwnAddresses(machine, settings())).toEqual([]);
    publish("10.1.0.0/24");
    own({ ipam: { type: "whereabouts" } });
    expect(countOwnAddresses(machine, settings())).toEqual([]);
  });
});
