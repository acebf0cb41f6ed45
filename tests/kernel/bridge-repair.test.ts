import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { type PassView, passArgv } from "./passes.ts";
import { destroySandboxes, type Json, must, type Pod, Sandbox } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const SILENT: PassView = { changes: [], faults: [] };
const BRIDGE = "minicni0";
const GATEWAYS = ["10.7.0.1", "fd00:7::1"];

function repair(box: Sandbox, confDir = `${box.dir}/net.d`): PassView {
  return JSON.parse(must(...passArgv(box, "bridge", confDir)));
}

/** The network as a conflist tells it, and as the plugin gets it. */
function configure(box: Sandbox, overrides: Json = {}): Json {
  const conf: Json = { ...box.conf(), bridge: BRIDGE, ...overrides };
  mkdirSync(`${box.dir}/net.d`, { recursive: true });
  const { cniVersion, name, ...plugin } = conf;
  const list = { cniVersion, name, plugins: [plugin] };
  writeFileSync(`${box.dir}/net.d/10-net.conflist`, JSON.stringify(list));
  return conf;
}

interface Wired {
  readonly box: Sandbox;
  readonly conf: Json;
  readonly pods: readonly { readonly pod: Pod; readonly addresses: readonly string[] }[];
}

function twoPods(overrides: Json = {}, alter: (conf: Json) => Json = (conf) => conf): Wired {
  const box = new Sandbox();
  const conf = configure(box, overrides);
  const pods = box.pods(2).map((pod) => ({ pod, addresses: addressesOf(box.add(pod, alter(conf))) }));
  return { box, conf, pods };
}

/** Whether each pod reaches these, and the other one. */
function areConnected({ box, pods }: Wired, gateways = GATEWAYS): boolean {
  const [a, b] = pods;
  if (a === undefined || b === undefined) return false;
  const reaches = (pod: Pod, others: readonly string[]) =>
    [...gateways, ...others].every((to) => box.pings(pod.netns, to));
  return reaches(a.pod, b.addresses) && reaches(b.pod, a.addresses);
}

/** Within seconds: a pod whose question for a MAC nobody answered asks again a second later. */
function becomesConnected(wired: Wired): boolean {
  for (let tries = 0; tries < 10; tries++) {
    if (areConnected(wired)) return true;
  }
  return false;
}

describe("the agent's repair of minicni0", () => {
  test("finds nothing to do while all is well", () => {
    const wired = twoPods();
    expect(repair(wired.box)).toEqual(SILENT);
    expect(areConnected(wired)).toBe(true);
  });

  test("somebody deleted it: made again with the same MAC, gateways and ports", () => {
    const wired = twoPods();
    const { box, pods } = wired;
    const { address } = box.link(BRIDGE);
    box.node("ip", "link", "del", BRIDGE);
    expect(areConnected(wired)).toBe(false);
    const { changes, faults } = repair(box);
    expect(faults).toEqual([]);
    expect(changes?.join("\n")).toContain(`ip link add name ${BRIDGE}`);
    expect(box.link(BRIDGE).address).toBe(address);
    expect(becomesConnected(wired)).toBe(true);
    // Hairpin: a pod reaches itself through its port.
    const [veth = ""] = box.hostVeths();
    expect(box.node("bridge", "-d", "link", "show", "dev", veth)).toContain("hairpin on");
    expect(repair(box)).toEqual(SILENT);
    const [first] = pods;
    if (first !== undefined) expect(box.call("DEL", first.pod, wired.conf).exitCode).toBe(0);
  });

  for (const [what, damage] of [
    ["down", ["ip", "link", "set", BRIDGE, "down"]],
    ["without its addresses", ["ip", "addr", "flush", "dev", BRIDGE]],
    ["without forwarding", ["sysctl", "-qw", "net.ipv4.ip_forward=0"]],
  ] as const) {
    test(`${what}: as before`, () => {
      const wired = twoPods();
      wired.box.node(...damage);
      const { changes, faults } = repair(wired.box);
      expect(faults).toEqual([]);
      expect(changes).not.toEqual([]);
      expect(areConnected(wired)).toBe(true);
      expect(wired.box.node("sysctl", "-n", "net.ipv4.ip_forward").trim()).toBe("1");
      expect(repair(wired.box)).toEqual(SILENT);
    });
  }

  test("a port that lost it", () => {
    const wired = twoPods();
    const [veth = ""] = wired.box.hostVeths();
    wired.box.node("ip", "link", "set", veth, "nomaster");
    expect(repair(wired.box).faults).toEqual([]);
    expect(areConnected(wired)).toBe(true);
  });

  test("a port that somebody gave to another bridge is told and left there", () => {
    const wired = twoPods();
    const { box } = wired;
    const [veth = ""] = box.hostVeths();
    box.node("ip", "link", "add", "theirs", "type", "bridge");
    box.node("ip", "link", "set", veth, "master", "theirs");
    const { changes, faults } = repair(box);
    expect(changes).toEqual([]);
    expect(faults).toEqual([`${veth} is a port of theirs, wanted ${BRIDGE}: somebody moved it`]);
    expect(box.link(veth)).toMatchObject({ master: "theirs" });
  });

  test("isolated ports are isolated again", () => {
    const { box, pods } = twoPods({ portIsolation: true });
    const [a, b] = pods;
    box.node("ip", "link", "del", BRIDGE);
    expect(repair(box).faults).toEqual([]);
    for (const veth of box.hostVeths())
      expect(box.node("bridge", "-d", "link", "show", "dev", veth)).toContain("isolated on");
    const [address = ""] = b?.addresses ?? [];
    expect(box.pings(a?.pod.netns ?? "", GATEWAYS[0] ?? "")).toBe(true);
    expect(box.pings(a?.pod.netns ?? "", address)).toBe(false);
  });

  test("the agent's own network needs no conflist: its ranges are the pod CIDRs that were published", () => {
    const box = new Sandbox();
    mkdirSync(box.stateDir, { recursive: true });
    const node = { ready: true, podCidrs: ["10.7.0.0/24", "fd00:7::/64"], clusterCidrs: [], mtu: 1400 };
    writeFileSync(`${box.stateDir}/node.json`, JSON.stringify(node));
    const conf = box.conf({ name: "minicni", bridge: BRIDGE, ipam: undefined, dataDir: box.dataDir });
    const pods = box.pods(2).map((pod) => ({ pod, addresses: addressesOf(box.add(pod, conf)) }));
    box.node("ip", "link", "del", BRIDGE);
    expect(repair(box, "").faults).toEqual([]);
    expect(box.link(BRIDGE).mtu).toBe(1400);
    expect(areConnected({ box, conf, pods })).toBe(true);
  });
});

describe("what is not known is not guessed", () => {
  test("ranges that only the runtime gave: told by address, and no bridge is made", () => {
    const ranges = { runtimeConfig: { ipRanges: [[{ subnet: "10.9.0.0/24" }]] } };
    const { box } = twoPods({ ipam: { dataDir: "/nowhere", subnet: "10.7.0.0/24" } }, (conf) => ({
      ...conf,
      ...ranges,
      ipam: { dataDir: `${conf.stateDir}/data` },
    }));
    expect(repair(box)).toEqual(SILENT);
    box.node("ip", "link", "del", BRIDGE);
    const { changes, faults } = repair(box);
    expect(changes).toEqual([]);
    expect(faults.join()).toContain("no range of net1 is known for 10.9.0.2, 10.9.0.3");
    expect(box.links().map(({ ifname }) => ifname)).not.toContain(BRIDGE);
  });

  test("a bridge of another name is never made or changed; our ports come back to it", () => {
    const wired = twoPods({ bridge: "br0" });
    const { box } = wired;
    box.node("ip", "link", "del", "br0");
    expect(repair(box).changes).toEqual([]);
    expect(repair(box).faults).toEqual(["bridge br0 of net1 is missing (it is not ours to change)"]);
    box.node("ip", "link", "add", "br0", "type", "bridge");
    const { changes, faults } = repair(box);
    expect(faults.join()).toMatch(/bridge br0 of net1 lacks: .*10\.7\.0\.1\/24/);
    expect(changes?.every((command) => command.includes("mcni"))).toBe(true);
    box.node("ip", "link", "set", "br0", "up");
    for (const address of ["10.7.0.1/24", "fd00:7::1/64"])
      box.node("ip", "addr", "add", address, "dev", "br0", ...(address.includes(":") ? ["nodad"] : []));
    expect(repair(box)).toEqual(SILENT);
    expect(areConnected(wired)).toBe(true);
  });

  test("a link of another kind under our name is told and left", () => {
    const { box } = twoPods();
    box.node("ip", "link", "del", BRIDGE);
    box.node("ip", "link", "add", BRIDGE, "type", "veth", "peer", "name", "other");
    const { changes, faults } = repair(box);
    expect(changes).toEqual([]);
    expect(faults.join()).toContain("minicni0 already exists and is of type veth, wanted a bridge");
  });

  test("without pods there is nothing to repair", () => {
    const wired = twoPods();
    const { box, conf, pods } = wired;
    for (const { pod } of pods) box.call("DEL", pod, conf);
    box.node("ip", "link", "del", BRIDGE);
    expect(repair(box)).toEqual(SILENT);
  });
});
