import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import {
  DEFAULT_ROUTES,
  destroySandboxes,
  type Json,
  must,
  NOTHING,
  type Pod,
  run,
  Sandbox,
} from "../kernel/sandbox.ts";
import { addressesOf, errorOf, resultOf } from "../kernel/views.ts";
import { callPlugin, makePluginFolder, type PluginConf, Runtime } from "./conflist.ts";

setDefaultTimeout(20_000);

let node: Sandbox;
let folder: string;
beforeEach(() => {
  destroySandboxes();
  node = new Sandbox();
  folder = makePluginFolder(node.dir);
  withoutDad(node.netns);
});
afterAll(destroySandboxes);

/** The reference plugins wait for duplicate address detection; here nobody else can have an address. */
function withoutDad(netns: string): void {
  must("nsenter", `--net=${netns}`, "sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0");
}
function newPod(): Pod {
  const pod = node.pod();
  withoutDad(pod.netns);
  return pod;
}

const DUAL = [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd00:7::/64" }]];
const ONE = [[{ subnet: "10.7.0.0/24", rangeStart: "10.7.0.2", rangeEnd: "10.7.0.2" }]];

function ipam(ranges: unknown = DUAL): Json {
  return {
    type: "minicni",
    ranges,
    dataDir: node.dataDir,
    routes: DEFAULT_ROUTES.slice(0, ranges === DUAL ? 2 : 1),
  };
}
// `stateDir` is ours too: what we keep of an attachment is not to be the machine's.
const bridge = (overrides: Json = {}): PluginConf => ({
  ...ptp(overrides),
  type: "bridge",
  bridge: "ref0",
  isGateway: true,
});
const ptp = (overrides: Json = {}): PluginConf => ({
  type: "ptp",
  ipMasq: true,
  stateDir: node.stateDir,
  ipam: ipam(),
  ...overrides,
});
const named = (conf: PluginConf, cniVersion = "1.0.0") => ({ ...conf, cniVersion, name: "net1" });
const call = (command: string, pod: Pod, conf: PluginConf) =>
  callPlugin(node, folder, command, pod, named(conf));

const UPPER: [string, (overrides?: Json) => PluginConf][] = [
  ["bridge", bridge],
  ["ptp", ptp],
];

describe.each(UPPER)("minicni as the IPAM plugin of the reference %s", (type, upper) => {
  test.each(["0.3.0", "0.3.1", "0.4.0", "1.0.0"])("ADD, CHECK and DEL with version %s", (cniVersion) => {
    const list = new Runtime(node, folder, { cniVersion, name: "net1", plugins: [upper()] });
    const pods = [newPod(), newPod()] as const;
    const results = pods.map((pod) => list.add(pod));
    expect(results.map(addressesOf)).toEqual([
      ["10.7.0.2", "fd00:7::2"],
      ["10.7.0.3", "fd00:7::3"],
    ]);
    expect(node.reservations().sort()).toEqual(["10.7.0.2", "10.7.0.3", "fd00:7::2", "fd00:7::3"]);
    for (const address of ["10.7.0.1", "fd00:7::1", "10.7.0.3", "fd00:7::3"])
      if (type === "bridge" || !address.includes("::3"))
        expect({ address, pings: node.pings(pods[0].netns, address) }).toEqual({ address, pings: true });
    if (list.canCheck) for (const pod of pods) list.check(pod);
    list.del(pods[0]);
    list.del({ ...pods[1], netns: "" });
    list.del(pods[0]);
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test.each(["0.1.0", "0.2.0"])("version %s, whose results name one address a family", (cniVersion) => {
    const pod = newPod();
    const conf = named(upper(), cniVersion);
    const done = callPlugin(node, folder, "ADD", pod, conf);
    expect({ exitCode: done.exitCode, ...JSON.parse(done.stdout) }).toMatchObject({
      exitCode: 0,
      ip4: { ip: "10.7.0.2/24", gateway: "10.7.0.1" },
      ip6: { ip: "fd00:7::2/64", gateway: "fd00:7::1" },
    });
    expect(callPlugin(node, folder, "DEL", pod, conf)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("an exhausted range: our error is the upper plugin's, until an address is free again", () => {
    const conf = upper({ ipam: ipam(ONE) });
    const [first, second] = [newPod(), newPod()];
    resultOf(call("ADD", first, conf));
    expect(errorOf(call("ADD", second, conf))).toMatchObject({
      code: 11,
      msg: "failed to allocate for range 0: no IP addresses available in range set: 10.7.0.2-10.7.0.2",
    });
    expect(node.reservations()).toEqual(["10.7.0.2"]);
    // As a runtime does after a failed ADD: the reference bridge has left its eth0 behind.
    for (const pod of [second, first]) expect(call("DEL", pod, conf).exitCode).toBe(0);
    expect(addressesOf(resultOf(call("ADD", second, conf)))).toEqual(["10.7.0.2"]);
    expect(call("DEL", second, conf).exitCode).toBe(0);
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("CHECK fails when the reservation is lost", () => {
    const list = new Runtime(node, folder, { cniVersion: "1.0.0", name: "net1", plugins: [upper()] });
    const pod = newPod();
    list.add(pod);
    for (const name of node.reservations()) rmSync(`${node.dataDir}/net1/${name}`);
    expect(() => list.check(pod)).toThrow("host-local: Failed to find address added by container");
  });
});

describe("an upper plugin that fails after our ADD", () => {
  test("bridge whose device has another address: its DEL frees ours", () => {
    node.node("ip", "link", "add", "ref0", "type", "bridge");
    node.node("ip", "addr", "add", "10.7.0.99/24", "dev", "ref0");
    const error = errorOf(call("ADD", newPod(), bridge()));
    expect(error.msg).toContain("already has an IP address different from");
    expect(node.leftovers()).toEqual(NOTHING);
    expect(node.reservations()).toEqual([]);
  });

  test("bridge whose name is a veth's: nothing is reserved, neither then nor after the runtime's DEL", () => {
    node.node("ip", "link", "add", "ref0", "type", "veth", "peer", "name", "ref0peer");
    const pod = newPod();
    expect(errorOf(call("ADD", pod, bridge())).msg).toContain("not a bridge");
    expect(node.leftovers()).toEqual(NOTHING);
    expect(call("DEL", pod, bridge()).exitCode).toBe(0);
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("ptp into a pod that has an eth0: its DEL frees ours", () => {
    const pod = newPod();
    run(["ip", "-n", pod.netns.replace("/run/netns/", ""), "link", "add", "eth0", "type", "bridge"]);
    expect(errorOf(call("ADD", pod, ptp())).msg).toContain("eth0");
    expect(node.leftovers()).toEqual(NOTHING);
  });
});

describe("other reference plugins over minicni's IPAM", () => {
  test("host-device: the moved device gets our addresses and goes home", () => {
    node.node("ip", "link", "add", "phys0", "type", "veth", "peer", "name", "phys1");
    node.node("ip", "link", "set", "phys1", "up");
    const list = new Runtime(node, folder, {
      cniVersion: "1.0.0",
      name: "net1",
      plugins: [{ ...ptp({ ipMasq: false }), type: "host-device", device: "phys0" }],
    });
    const pod = newPod();
    expect(addressesOf(list.add(pod))).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(node.link("eth0", pod.netns).addr_info.map(({ local }) => local)).toContain("10.7.0.2");
    list.check(pod);
    list.del(pod);
    expect(node.link("phys0").ifname).toBe("phys0");
    expect(node.leftovers()).toEqual(NOTHING);
  });

  const absent = ["macvlan", "ipvlan"].filter((kind) => !kernelKnows(kind));
  for (const kind of absent) process.stderr.write(`skipped: this kernel has no ${kind} devices\n`);
  for (const kind of ["macvlan", "ipvlan"])
    test.skipIf(absent.includes(kind))(`${kind}: ADD, CHECK and DEL`, () => {
      node.node("ip", "link", "add", "phys0", "type", "veth", "peer", "name", "phys1");
      for (const device of ["phys0", "phys1"]) node.node("ip", "link", "set", device, "up");
      const plugins = [{ ...ptp({ ipMasq: false }), type: kind, master: "phys0" }];
      const list = new Runtime(node, folder, { cniVersion: "1.0.0", name: "net1", plugins });
      const pods = [newPod(), newPod()] as const;
      for (const pod of pods) list.add(pod);
      expect(node.pings(pods[0].netns, "10.7.0.3")).toBe(true);
      for (const pod of pods) list.check(pod);
      for (const pod of pods) list.del(pod);
      expect(node.leftovers()).toEqual(NOTHING);
    });
});

/** Tried on a device in a namespace that ends with the command. */
function kernelKnows(kind: string): boolean {
  const script = `ip link add a type veth peer name b && ip link add c link a type ${kind}`;
  return run(["unshare", "--net", "sh", "-c", script]).exitCode === 0;
}
