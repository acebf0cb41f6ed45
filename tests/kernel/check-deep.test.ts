import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { BRIDGE, destroySandboxes, type Json, must, NETWORK, type Pod, Sandbox } from "./sandbox.ts";
import { errorOf, type ResultView } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);
const SILENT = { exitCode: 0, stdout: "", stderr: "" };

interface Attached {
  readonly box: Sandbox;
  readonly pod: Pod;
  readonly veth: string;
  readonly prevResult: ResultView;
  readonly conf: Json;
}

function attached(overrides: Json = {}, ipam: Json = {}): Attached {
  const box = new Sandbox();
  const pod = box.pod();
  const conf = box.conf(overrides, ipam);
  const prevResult = box.add(pod, conf);
  return { box, pod, prevResult, conf, veth: prevResult.interfaces[1]?.name ?? "(none)" };
}

function check({ box, pod, conf, prevResult }: Attached, prev: unknown = prevResult) {
  return box.call("CHECK", pod, { ...conf, prevResult: prev });
}

function inPod({ pod }: Attached, ...words: string[]): string {
  return must("nsenter", `--net=${pod.netns}`, ...words);
}

type Damage = (on: Attached) => unknown;
const DAMAGES: readonly (readonly [what: string, told: RegExp, damage: Damage, conf?: Json, ipam?: Json])[] =
  [
    [
      "bridge down",
      /bridge br0 is down, wanted up/,
      ({ box }) => box.node("ip", "link", "set", BRIDGE, "down"),
    ],
    [
      "host end in another bridge",
      /host-side veth mcni\w+ is not a port of br0/,
      ({ box, veth }) => {
        box.node("ip", "link", "add", "br9", "type", "bridge");
        box.node("ip", "link", "set", veth, "master", "br9");
      },
    ],
    [
      "MTU of the host end",
      /host-side veth mcni\w+ has MTU 1300, wanted 1400/,
      ({ box, veth }) => box.node("ip", "link", "set", veth, "mtu", "1300"),
      { mtu: 1400 },
    ],
    [
      "MTU of the pod's end lowered, told by nobody",
      /eth0 has MTU 1300, wanted 1400/,
      (on) => inPod(on, "ip", "link", "set", "eth0", "mtu", "1300"),
      { mtu: 1400 },
    ],
    [
      "MTU of the pod's end raised, in a version whose results have none",
      /eth0 has MTU 1450, wanted 1400/,
      (on) => inPod(on, "ip", "link", "set", "eth0", "mtu", "1450"),
      { mtu: 1400, cniVersion: "1.0.0" },
    ],
    [
      "MAC of the host end",
      /host-side veth mcni\w+ has MAC 02:00:00:00:00:07, wanted/,
      ({ box, veth }) => box.node("ip", "link", "set", veth, "address", "02:00:00:00:00:07"),
    ],
    [
      "hairpin off",
      /hairpin of mcni\w+ is false, wanted true/,
      ({ box, veth }) => box.node("bridge", "link", "set", "dev", veth, "hairpin", "off"),
    ],
    [
      "hairpin on, where it was to be off",
      /hairpin of mcni\w+ is true, wanted false/,
      ({ box, veth }) => box.node("bridge", "link", "set", "dev", veth, "hairpin", "on"),
      { hairpinMode: false },
    ],
    [
      "promiscuous mode off",
      /bridge br0 is not promiscuous/,
      ({ box }) => box.node("ip", "link", "set", BRIDGE, "promisc", "off"),
      { promiscMode: true },
    ],
    [
      "port isolation off",
      /isolat/,
      ({ box, veth }) => box.node("bridge", "link", "set", "dev", veth, "isolated", "off"),
      { portIsolation: true },
    ],
    [
      "an address with another length",
      /eth0 lacks 10\.7\.0\.2\/24 \(it has 10\.7\.0\.2\/25/,
      (on) => {
        inPod(on, "ip", "addr", "add", "10.7.0.2/25", "dev", "eth0");
        inPod(on, "ip", "addr", "del", "10.7.0.2/24", "dev", "eth0");
        inPod(on, "ip", "route", "replace", "default", "via", "10.7.0.1", "dev", "eth0");
      },
    ],
    [
      "the IPv6 address",
      /eth0 lacks fd00:7::2\/64/,
      (on) => inPod(on, "ip", "addr", "del", "fd00:7::2/64", "dev", "eth0"),
    ],
    [
      "a route by another gateway than the one that was told",
      /route 0\.0\.0\.0\/0/,
      (on) => inPod(on, "ip", "route", "replace", "default", "via", "10.7.0.99", "dev", "eth0"),
      {},
      { routes: [{ dst: "0.0.0.0/0", gw: "10.7.0.1" }] },
    ],
    [
      "the IPv6 gateway address",
      /gateway fd00:7::1 is not on br0/,
      ({ box }) => box.node("ip", "addr", "del", "fd00:7::1/64", "dev", BRIDGE),
    ],
    [
      "a reservation that somebody else owns",
      /no reservation of 10\.7\.0\.2 for pod1 eth0/,
      ({ box }) => writeFileSync(`${box.dataDir}/${NETWORK}/10.7.0.2`, "other\r\neth0"),
    ],
    [
      "a reservation of another interface of the container",
      /no reservation of fd00:7::2 for pod1 eth0/,
      ({ box }) => writeFileSync(`${box.dataDir}/${NETWORK}/fd00:7::2`, "pod1\r\nnet1"),
    ],
    [
      "the jump to the masquerade rules",
      /iptables -t nat lacks `POSTROUTING .*minicni:net1/,
      ({ box }) => box.node("iptables", "-t", "nat", "-F", "POSTROUTING"),
      { ipMasq: true, ipMasqBackend: "iptables" },
    ],
  ];

describe("CHECK sees a single damage and names it", () => {
  for (const [what, told, damage, overrides, ipam] of DAMAGES) {
    test(what, () => {
      const on = attached(overrides, ipam);
      expect(check(on)).toEqual(SILENT);
      damage(on);
      const error = errorOf(check(on));
      expect(error.code).toBe(999);
      expect(`${error.msg} ${error.details}`).toMatch(told);
      if (!/^host-local/.test(error.msg)) {
        expect(error.msg).toStartWith("attachment pod1 eth0 is not as it was made: ");
      }
    });
  }

  test("several at once: all are in the details", () => {
    const on = attached();
    on.box.node("ip", "link", "set", BRIDGE, "down");
    inPod(on, "ip", "addr", "del", "fd00:7::2/64", "dev", "eth0");
    const { details } = errorOf(check(on));
    expect(details).toMatch(/bridge br0 is down.*; eth0 lacks fd00:7::2/);
  });

  test("the record is gone: the damage is still seen by prevResult alone", () => {
    const on = attached();
    rmSync(on.box.stateDir, { recursive: true });
    expect(check(on)).toEqual(SILENT);
    rmSync(`${on.box.dataDir}/${NETWORK}/10.7.0.2`);
    expect(errorOf(check(on)).details).toContain("no reservation of 10.7.0.2 for pod1 eth0");
  });
});

describe("CHECK raises no false alarm", () => {
  const options: readonly Json[] = [
    { ipMasq: true, macspoofchk: true },
    { ipMasq: true, ipMasqBackend: "nftables" },
    { promiscMode: true, mtu: 1300 },
    { portIsolation: true, hairpinMode: false, enabledad: true },
    { isGateway: false },
    { isDefaultGateway: true },
    { cniVersion: "0.4.0" },
  ];
  for (const overrides of options) {
    test(`right after ADD with ${JSON.stringify(overrides)}`, () => {
      const on = attached(overrides);
      expect(check(on)).toEqual(SILENT);
      on.box.add(on.box.pod(), on.conf);
      expect(check(on)).toEqual(SILENT);
    });
  }

  test("with routes that have a table, a metric, an MTU, or host bits", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const routes = [
      { dst: "10.99.0.0/16", gw: "10.7.0.9", mtu: 1200, priority: 50, table: 77 },
      { dst: "10.98.1.2/16" },
      { dst: "10.97.0.0/16", scope: 253 },
      { dst: "10.96.0.1/32" },
      { dst: "fd00:99::/48" },
    ];
    const conf = box.conf({}, { routes });
    const prevResult = box.add(pod, conf);
    expect(check({ box, pod, conf, prevResult, veth: "" })).toEqual(SILENT);
  });

  test("after sysctls, promiscuous mode and queue length, as the tuning plugin sets them", () => {
    const on = attached();
    inPod(on, "sysctl", "-qw", "net.ipv4.conf.eth0.arp_notify=1", "net.ipv6.conf.eth0.hop_limit=33");
    inPod(on, "ip", "link", "set", "eth0", "promisc", "on", "txqueuelen", "500", "allmulticast", "on");
    expect(check(on)).toEqual(SILENT);
  });

  test("after a MAC or an MTU was changed and told in prevResult; not when it was not told", () => {
    const on = attached({ mtu: 1400 });
    const mac = "02:aa:bb:cc:dd:ee";
    inPod(on, "ip", "link", "set", "eth0", "address", mac, "mtu", "1350");
    expect(errorOf(check(on)).details).toContain(`eth0 has MAC ${mac}`);
    const interfaces = on.prevResult.interfaces.map((link) =>
      link.name === "eth0" ? { ...link, mac, mtu: 1350 } : link,
    );
    expect(check(on, { ...on.prevResult, interfaces })).toEqual(SILENT);
  });

  test("after a later plugin added an interface with an address and a route, and told of it", () => {
    const on = attached();
    inPod(on, "ip", "link", "add", "net1", "type", "veth", "peer", "name", "net1p");
    inPod(on, "ip", "link", "set", "net1p", "up");
    inPod(on, "ip", "link", "set", "net1", "up");
    inPod(on, "ip", "addr", "add", "10.44.0.2/24", "dev", "net1");
    inPod(on, "ip", "route", "add", "10.45.0.0/16", "via", "10.44.0.1", "dev", "net1");
    const { interfaces, ips, routes = [] } = on.prevResult;
    const prev = {
      ...on.prevResult,
      interfaces: [...interfaces, { name: "net1", sandbox: on.pod.netns }],
      ips: [...ips, { address: "10.44.0.2/24", gateway: "10.44.0.1", interface: interfaces.length }],
      routes: [...routes, { dst: "10.45.0.0/16", gw: "10.44.0.1" }],
    };
    expect(check(on, prev)).toEqual(SILENT);
  });

  test("after addresses, routes and bridge ports of others came, told by nobody", () => {
    const on = attached();
    inPod(on, "ip", "addr", "add", "10.46.0.2/24", "dev", "eth0");
    inPod(on, "ip", "route", "add", "10.47.0.0/16", "via", "10.46.0.1", "dev", "eth0");
    on.box.node("ip", "link", "add", "x0", "master", BRIDGE, "type", "veth");
    on.box.node("ip", "addr", "add", "10.48.0.1/24", "dev", BRIDGE);
    expect(check(on)).toEqual(SILENT);
  });
});
