import { describe, expect, test } from "bun:test";
import { createNetwork } from "../../../../src/entry/agent/network.ts";
import type { ClusterNode, NodeSnapshot } from "../../../../src/net/node.ts";
import { hostPrefix } from "../../../../src/net/prefix.ts";
import type { Backend } from "../../../../src/topology/path.ts";
import { createFakeMachine } from "../../../twin/machine.ts";
import { route } from "../../../twin/routes.ts";
import { address, prefix } from "../../../twin/words.ts";

const node = (number: number, addresses = [`10.9.0.${number}`]): ClusterNode => ({
  name: `n${number}`,
  podCidrs: [prefix(`10.244.${number}.0/24`)],
  addresses: addresses.map(address),
});
const SELF = node(1);
/** Behind a router. */
const FAR = node(3, ["10.8.0.3"]);
const snapshotOf = (...nodes: ClusterNode[]): NodeSnapshot => ({ nodes: [SELF, ...nodes], faults: [] });
const ALL = snapshotOf(node(2), FAR);

function stage(backend: Backend = "auto", dryRun = false) {
  const host = createFakeMachine("/nowhere");
  let nowMs = 0;
  const eth0 = host.network.addLink({ name: "eth0", up: true, mtu: 1500 });
  host.network.addresses.set(eth0, [{ prefix: prefix("10.9.0.1/24"), linkLocal: false }]);
  host.network.lookup = ({ value }) => ({
    gateway: value >> 8n === address("10.9.0.0").value >> 8n ? null : address("10.9.0.254"),
    ifindex: eth0,
    isLocal: false,
  });
  const settings = { backend, dryRun, tunnel: { vni: 157, port: 8472 } };
  const network = createNetwork(settings, host, () => nowMs);
  const resync = (snapshot = ALL, isLive = true) => network.resync({ snapshot, self: SELF, isLive });
  return { host, eth0, network, resync, pass: (ms: number) => (nowMs += ms) };
}

describe("a pass", () => {
  test("makes all of it, and then finds nothing to do", async () => {
    const { host, resync } = stage();
    const { failures, plan, mtu, desired, programmed } = await resync();
    expect(failures).toEqual([]);
    expect(plan.length).toBeGreaterThan(8);
    expect(host.network.routes).toHaveLength(2);
    expect(mtu).toBe(1450);
    expect([desired.get(4), programmed.get(4)]).toEqual([2, 2]);
    const count = host.executed.length;
    expect((await resync()).plan).toEqual([]);
    expect(host.executed).toHaveLength(count);
  });

  test("of a dry run plans the same and changes nothing", async () => {
    const [dry, wet] = [stage("auto", true), stage()];
    expect((await dry.resync()).plan.map(({ op }) => op)).toEqual(
      (await wet.resync()).plan.map(({ op }) => op),
    );
    expect(dry.host.executed).toEqual([]);
    expect(dry.host.network.routes).toEqual([]);
  });

  test("finds what fits: IPv6 through an IPv4 tunnel has 1280 on a narrow link too, through an IPv6 tunnel less", async () => {
    const ipv6 = (name: number, own: string): ClusterNode => ({
      ...node(name, [own]),
      podCidrs: [prefix(`fd44:0:0:${name}::/64`)],
    });
    const fits = async (linkMtu: number, own: string, far: string) => {
      const { host, network } = stage("vxlan");
      const eth0 = host.network.addLink({ name: "eth9", up: true, mtu: linkMtu });
      host.network.addresses.set(eth0, [{ prefix: hostPrefix(address(own)), linkLocal: false }]);
      const self = ipv6(1, own);
      const snapshot = { nodes: [self, ipv6(2, far)], faults: [] };
      return (await network.resync({ snapshot, self, isLive: true })).mtu;
    };
    expect(await fits(1300, "10.7.0.1", "10.7.0.2")).toBe(1280);
    expect(await fits(1300, "fd09::1", "fd09::2")).toBe(1230);
    expect(await fits(1350, "fd09::1", "fd09::2")).toBe(1280);
    expect(await fits(1500, "fd09::1", "fd09::2")).toBe(1430);
  });

  test("does all but the step that fails, counts it, and does it the next time", async () => {
    const { host, resync } = stage();
    host.failOn = (step) => step.op === "route.replace" && step.route.dev === "eth0";
    const outcome = await resync();
    expect(outcome.failures).toHaveLength(1);
    expect([outcome.desired.get(4), outcome.programmed.get(4)]).toEqual([2, 1]);
    expect(host.network.routes).toHaveLength(1);
    host.failOn = () => false;
    expect((await resync()).programmed.get(4)).toBe(2);
  });

  test("counts what a device that can't be made keeps away as not programmed", async () => {
    const { host, resync } = stage();
    host.failOn = (step) => step.op === "link.add";
    const { desired, programmed } = await resync();
    expect([desired.get(4), programmed.get(4)]).toEqual([2, 1]);
    expect(host.network.routes).toHaveLength(1);
  });

  test("leads nothing through a link of another kind by a tunnel's name", async () => {
    const { host, resync } = stage();
    host.network.addLink({ name: "minicni.vxlan", kind: "dummy", up: true });
    const { deviceFaults, programmed } = await resync();
    expect(deviceFaults).toEqual([expect.stringContaining("minicni.vxlan is a dummy")]);
    expect(programmed.get(4)).toBe(1);
    expect(host.network.routes).toHaveLength(1);
    expect(host.network.links.get("minicni.vxlan")?.kind).toBe("dummy");
  });
});

describe("what is gone", () => {
  test("goes with a live list only, and routes of others never", async () => {
    const { host, eth0, resync } = stage();
    await resync();
    host.network.routes.push(route("10.20.0.0/24", "10.9.0.2", { ifindex: eth0, protocol: 4 }));
    const dead = await resync(snapshotOf(), false);
    expect([dead.plan.length, dead.withheld]).toEqual([0, 2]);
    const live = await resync(snapshotOf());
    expect([live.plan.length > 0, live.withheld]).toEqual([true, 0]);
    expect(host.network.routes.map(({ protocol }) => protocol)).toEqual([4]);
    const tunnel = host.network.links.get("minicni.vxlan")?.index ?? 0;
    expect([host.network.forwarding.get(tunnel), host.network.neighbours.get(tunnel)]).toEqual([[], []]);
  });

  test("stays for a minute when it is most of it, while what is new is added", async () => {
    const { host, resync, pass } = stage("host-gw");
    await resync(snapshotOf(...Array.from({ length: 20 }, (_, index) => node(index + 2))));
    const short = snapshotOf(node(100));
    expect((await resync(short)).withheld).toBe(20);
    expect(host.network.routes).toHaveLength(21);
    pass(60_000);
    expect((await resync(short)).withheld).toBe(0);
    expect(host.network.routes).toHaveLength(1);
  });

  test("a tunnel of another backend goes behind the routes that replace it", async () => {
    const { host, resync } = stage("vxlan");
    await resync(snapshotOf(node(2)));
    const other = createNetwork(
      { backend: "host-gw", dryRun: false, tunnel: { vni: 157, port: 8472 } },
      host,
      () => 0,
    );
    const { plan } = await other.resync({ snapshot: snapshotOf(node(2)), self: SELF, isLive: true });
    expect(plan.map(({ op }) => op)).toEqual(["route.replace", "link.del"]);
    expect(host.network.routes).toHaveLength(1);
  });
});

test("a link's address that is nowhere is told, and no fault of a device", async () => {
  const { host, eth0, resync } = stage();
  host.network.addresses.set(eth0, []);
  const { addressFaults, deviceFaults } = await resync();
  expect(addressFaults).toEqual([expect.stringContaining("InternalIP 10.9.0.1 of this Node is on no link")]);
  expect(deviceFaults).toEqual([]);
});
