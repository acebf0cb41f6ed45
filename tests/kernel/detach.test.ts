import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { BRIDGE, destroySandboxes, NETWORK, NOTHING, type Pod, Sandbox } from "./sandbox.ts";
import { errorOf, type ResultView } from "./views.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

function attached(): { box: Sandbox; pod: Pod; result: ResultView; veth: string } {
  const box = new Sandbox();
  const pod = box.pod();
  const result = box.add(pod);
  return { box, pod, result, veth: result.interfaces[1]?.name ?? "" };
}

describe("CHECK", () => {
  for (const cniVersion of ["0.4.0", "1.0.0", "1.1.0"]) {
    test(`version ${cniVersion}: passes in silence after ADD`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const prevResult = box.add(pod, box.conf({ cniVersion }));
      const done = box.call("CHECK", pod, box.conf({ cniVersion, prevResult }));
      expect(done).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    });
  }

  const inPod = (box: Sandbox, pod: Pod, ...words: string[]) =>
    box.node("nsenter", `--net=${pod.netns}`, ...words);
  const faults: readonly (readonly [string, RegExp, (box: Sandbox, pod: Pod, veth: string) => unknown])[] = [
    [
      "the IPv4 address",
      /lacks 10\.7\.0\.2\/24/,
      (b, p) => inPod(b, p, "ip", "addr", "del", "10.7.0.2/24", "dev", "eth0"),
    ],
    [
      "the IPv6 address",
      /lacks fd00:7::2\/64/,
      (b, p) => inPod(b, p, "ip", "addr", "del", "fd00:7::2/64", "dev", "eth0"),
    ],
    [
      "the IPv4 route",
      /route 0\.0\.0\.0\/0 is missing/,
      (b, p) => inPod(b, p, "ip", "route", "del", "default"),
    ],
    [
      "the IPv6 route",
      /route ::\/0 is missing/,
      (b, p) => inPod(b, p, "ip", "-6", "route", "del", "default"),
    ],
    [
      "the pod's link up",
      /eth0 is down, wanted up/,
      (b, p) => inPod(b, p, "ip", "link", "set", "eth0", "down"),
    ],
    [
      "the pod's MAC",
      /eth0 has MAC 02:00:00:00:00:01, wanted 0a:58/,
      (b, p) => inPod(b, p, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:01"),
    ],
    ["the pod's link", /mcni\w+ of eth0 is missing/, (b, p) => inPod(b, p, "ip", "link", "del", "eth0")],
    [
      "the pod's link name",
      /eth0 is missing/,
      (b, p) => inPod(b, p, "sh", "-c", "ip link set eth0 down; ip link set eth0 name other"),
    ],
    [
      "the host end up",
      /mcni\w+ is down, wanted up/,
      (b, _, veth) => b.node("ip", "link", "set", veth, "down"),
    ],
    [
      "the host end's bridge",
      /not a port of br0/,
      (b, _, veth) => b.node("ip", "link", "set", veth, "nomaster"),
    ],
    ["the bridge", /bridge br0 is missing/, (b) => b.node("ip", "link", "del", BRIDGE)],
    [
      "the gateway address",
      /gateway 10\.7\.0\.1 is not on br0/,
      (b) => b.node("ip", "addr", "del", "10.7.0.1/24", "dev", BRIDGE),
    ],
    [
      "the IPv4 reservation",
      /no reservation of 10\.7\.0\.2/,
      (b) => rmSync(`${b.dataDir}/${NETWORK}/10.7.0.2`),
    ],
    [
      "the IPv6 reservation",
      /no reservation of fd00:7::2/,
      (b) => rmSync(`${b.dataDir}/${NETWORK}/fd00:7::2`),
    ],
  ];
  for (const [what, told, damage] of faults) {
    test(`without ${what}: fails and says so`, () => {
      const { box, pod, result: prevResult, veth } = attached();
      damage(box, pod, veth);
      const error = errorOf(box.call("CHECK", pod, box.conf({ prevResult })));
      expect(error.code).toBe(999);
      expect(error.details).toMatch(told);
    });
  }

  test("refuses what it can't do: no prevResult (7), a version without CHECK (1)", () => {
    const { box, pod } = attached();
    expect(errorOf(box.call("CHECK", pod)).code).toBe(7);
    expect(errorOf(box.call("CHECK", pod, box.conf({ cniVersion: "0.3.1" }))).code).toBe(1);
  });
});

describe("DEL", () => {
  const silent = { exitCode: 0, stdout: "", stderr: "" };

  test("without netns and without prevResult takes all back; the second and third are silent too", () => {
    const { box, pod } = attached();
    for (let time = 0; time < 3; time++) {
      expect(box.call("DEL", { ...pod, netns: "" })).toEqual(silent);
      expect(box.leftovers()).toEqual(NOTHING);
    }
    expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
  });

  test("after the namespace was deleted, its path still given", () => {
    const { box, pod } = attached();
    box.removePod(pod);
    expect(box.call("DEL", pod)).toEqual(silent);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("without its record, and with a config that ADD would refuse", () => {
    const { box, pod } = attached();
    rmSync(box.stateDir, { recursive: true });
    expect(box.call("DEL", pod, box.conf({ vlan: 5, bridge: "a name/with" }, { ranges: [[]] }))).toEqual(
      silent,
    );
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("with the record alone: ipam is no longer in the config", () => {
    const { box, pod } = attached();
    expect(box.call("DEL", pod, box.conf({ ipam: undefined }))).toEqual(silent);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("of what never was is silent, and touches nobody else", () => {
    const { box, pod, result: prevResult } = attached();
    expect(box.call("DEL", { id: "stranger", netns: "" })).toEqual(silent);
    expect(box.call("DEL", { id: pod.id, netns: "", ifname: "eth1" })).toEqual(silent);
    expect(box.call("CHECK", pod, box.conf({ prevResult })).exitCode).toBe(0);
  });

  test("a pod made again after DEL gets another address and works", () => {
    const { box, pod } = attached();
    box.call("DEL", pod);
    const again = box.add(pod);
    expect(again.ips[0]?.address).toBe("10.7.0.3/24");
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });
});

describe("ipMasq", () => {
  const jumps = (box: Sandbox, family: 4 | 6) =>
    box.natRules(family).filter((line) => line.startsWith("-A POSTROUTING"));

  test("one jump a family however many pods; gone with the last", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    const pods = box.pods(3);
    for (const pod of pods) box.add(pod, conf);
    for (const family of [4, 6] as const) {
      expect(jumps(box, family)).toHaveLength(1);
      expect(box.natRules(family).filter((line) => line.includes("MASQUERADE"))).toHaveLength(1);
    }
    for (const pod of pods) {
      expect(jumps(box, 4)).toHaveLength(1);
      expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    }
    expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
  });

  test("a failed first ADD leaves rules that the DEL after it removes", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    const pod = box.pod();
    box.node("nsenter", `--net=${pod.netns}`, "ip", "link", "add", "eth0", "type", "bridge");
    expect(errorOf(box.call("ADD", pod, conf)).code).toBe(4);
    expect(box.leftovers()).toEqual(NOTHING);
    expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect([...box.natRules(4), ...box.natRules(6)]).toEqual([]);
  });

  test("each network has rules of its own", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const other = { name: "net2", bridge: "br1", ipMasq: true };
    const ipam = { ranges: [[{ subnet: "10.8.0.0/24" }]], routes: [] };
    box.add(a, box.conf({ ipMasq: true }));
    box.add(b, box.conf(other, ipam));
    box.call("DEL", a, box.conf({ ipMasq: true }));
    expect(jumps(box, 4)).toHaveLength(1);
    expect(jumps(box, 4)[0]).toContain("minicni:net2");
    box.call("DEL", b, box.conf(other, ipam));
    expect(box.natRules(4)).toEqual([]);
  });

  test("a pod reaches a host that has no route back, by both families", () => {
    const box = new Sandbox();
    const [pod, world] = [box.pod(), box.pod()];
    box.node("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", world.netns);
    const inWorld = ["nsenter", `--net=${world.netns}`];
    for (const [enter, dev, last] of [
      [[], "up0", 2],
      [inWorld, "up1", 1],
    ] as const) {
      box.node(...enter, "ip", "addr", "add", `192.0.2.${last}/24`, "dev", dev);
      box.node(...enter, "ip", "addr", "add", `2001:db8::${last}/64`, "dev", dev, "nodad");
      box.node(...enter, "ip", "link", "set", dev, "up");
    }
    const prevResult = box.add(pod, box.conf({ ipMasq: true }));
    expect(box.pings(pod.netns, "192.0.2.1")).toBe(true);
    expect(box.pings(pod.netns, "2001:db8::1")).toBe(true);
    expect(box.call("CHECK", pod, box.conf({ ipMasq: true, prevResult })).exitCode).toBe(0);
  });
});
