import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BRIDGE, destroySandboxes, NOTHING, Sandbox } from "./sandbox.ts";
import { tentative } from "./tentative.ts";
import { addressesOf, errorOf } from "./views.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

describe("ADD, dual-stack", () => {
  for (const cniVersion of VERSIONS) {
    test(`version ${cniVersion}: the kernel is as the result says`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const result = box.add(pod, box.conf({ cniVersion, mtu: 1380 }));
      expect(result.cniVersion).toBe(cniVersion);
      expect(addressesOf(result)).toEqual(["10.7.0.2", "fd00:7::2"]);
      if (cniVersion < "1") expect(result.ips.map(({ version }) => version)).toEqual(["4", "6"]);
      const [bridge, host, inside] = result.interfaces;
      expect(inside).toMatchObject({ name: "eth0", sandbox: pod.netns });

      const eth0 = box.link("eth0", pod.netns);
      expect(eth0.flags).toContain("UP");
      expect(eth0).toMatchObject({ address: inside?.mac, mtu: 1380 });
      const global = eth0.addr_info.filter(({ scope }) => scope === "global");
      expect(global.map(({ local, prefixlen }) => `${local}/${prefixlen}`)).toEqual(
        result.ips.map(({ address }) => address),
      );
      expect(tentative(box, pod)).toEqual([]);

      const veth = box.link(host?.name ?? "");
      expect(veth).toMatchObject({ address: host?.mac, mtu: 1380, master: BRIDGE });
      expect(veth.linkinfo?.info_slave_data?.hairpin).toBe(true);
      const br = box.link(BRIDGE);
      expect(br).toMatchObject({ address: bridge?.mac, mtu: 1380 });
      expect(br.addr_info.map(({ local }) => local)).toEqual(
        expect.arrayContaining(["10.7.0.1", "fd00:7::1"]),
      );

      expect(box.node("cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe("1");
      expect(box.node("cat", "/proc/sys/net/ipv6/conf/all/forwarding").trim()).toBe("1");
      for (const [family, gateway] of [
        [4, "10.7.0.1"],
        [6, "fd00:7::1"],
      ] as const) {
        const [route] = box.routes(pod.netns, family).filter(({ dst }) => dst === "default");
        expect(route).toMatchObject({ gateway, dev: "eth0" });
        expect(box.pings(pod.netns, gateway)).toBe(true);
      }
    });
  }

  test("two pods reach each other, and a pod reaches itself, by both families", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const first = addressesOf(box.add(a));
    const second = addressesOf(box.add(b));
    for (const address of [...first, ...second]) expect(box.pings(a.netns, address)).toBe(true);
    for (const address of first) expect(box.pings(b.netns, address)).toBe(true);
  });

  test("the bridge keeps its MAC while ports come and go", () => {
    const box = new Sandbox();
    const pods = box.pods(4);
    const macs = pods.map((pod) => {
      box.add(pod);
      return box.link(BRIDGE).address;
    });
    for (const pod of pods) box.call("DEL", pod);
    expect(new Set([...macs, box.link(BRIDGE).address]).size).toBe(1);
  });

  test("two interfaces of one container are two attachments", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    const second = { ...pod, ifname: "net1" };
    expect(addressesOf(box.add(second, box.conf({}, { routes: [] })))).toEqual(["10.7.0.3", "fd00:7::3"]);
    expect(box.call("DEL", pod).exitCode).toBe(0);
    expect(box.reservations().sort()).toEqual(["10.7.0.3", "fd00:7::3"]);
    expect(box.link("net1", pod.netns).flags).toContain("UP");
  });
});

describe("ADD, MTU", () => {
  test("that of the default route's link when none is given", () => {
    const box = new Sandbox();
    box.node("ip", "link", "add", "up0", "mtu", "1400", "type", "veth", "peer", "name", "up1");
    box.node("ip", "addr", "add", "192.0.2.2/24", "dev", "up0");
    for (const name of ["up0", "up1"]) box.node("ip", "link", "set", name, "up");
    box.node("ip", "route", "add", "default", "via", "192.0.2.1");
    const pod = box.pod();
    const result = box.add(pod);
    expect(box.link("eth0", pod.netns).mtu).toBe(1400);
    expect(box.link(result.interfaces[1]?.name ?? "").mtu).toBe(1400);
    expect(box.link(BRIDGE).mtu).toBe(1400);
  });

  test("1500 when there is no route either", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    expect(box.link("eth0", pod.netns).mtu).toBe(1500);
  });
});

describe("ADD, addresses", () => {
  test("IPv6 only: no IPv4 address, IPv4 forwarding untouched", () => {
    const box = new Sandbox();
    box.node("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward");
    const pod = box.pod();
    const conf = box.conf({}, { ranges: [[{ subnet: "fd00:7::/64" }]], routes: [{ dst: "::/0" }] });
    expect(addressesOf(box.add(pod, conf))).toEqual(["fd00:7::2"]);
    expect(box.link("eth0", pod.netns).addr_info.filter(({ family }) => family === "inet")).toEqual([]);
    expect(box.pings(pod.netns, "fd00:7::1")).toBe(true);
    expect(box.node("cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe("0");
  });

  test("IPv6 works in a sandbox whose runtime turned it off", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const off =
      "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
    expect(Bun.spawnSync(["nsenter", `--net=${pod.netns}`, "sh", "-c", off]).exitCode).toBe(0);
    box.add(pod);
    expect(box.pings(pod.netns, "fd00:7::1")).toBe(true);
  });

  test("a static address by CNI_ARGS, and one by runtimeConfig.ips", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const byArgs = box.add(a, box.conf(), { CNI_ARGS: "IgnoreUnknown=1;IP=10.7.0.77" });
    expect(addressesOf(byArgs)).toEqual(["10.7.0.77", "fd00:7::2"]);
    const byRuntime = box.add(b, box.conf({ runtimeConfig: { ips: ["10.7.0.88/24", "fd00:7::88"] } }));
    expect(addressesOf(byRuntime)).toEqual(["10.7.0.88", "fd00:7::88"]);
    expect(box.link("eth0", b.netns).addr_info.map(({ local }) => local)).toContain("fd00:7::88");
  });

  test("a static address that is taken, or the gateway, is refused and nothing of it is left", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, box.conf(), { CNI_ARGS: "IP=10.7.0.77" });
    const before = box.leftovers();
    for (const ip of ["10.7.0.77", "10.7.0.1", "10.8.0.1"]) {
      const error = errorOf(box.call("ADD", b, box.conf(), { CNI_ARGS: `IP=${ip}` }));
      expect(error.code).toBe(7);
      expect(`${error.msg} ${error.details}`).toContain(ip);
      expect(box.leftovers()).toEqual(before);
    }
  });

  test("the MAC that was asked for", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod, box.conf({ runtimeConfig: { mac: "02:11:22:33:44:55" } }));
    expect(box.link("eth0", pod.netns).address).toBe("02:11:22:33:44:55");
  });

  test("ADD again without DEL is refused and leaves the first attachment whole", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const prevResult = box.add(pod);
    const before = box.leftovers();
    const error = errorOf(box.call("ADD", pod));
    expect(error.code).toBe(7);
    expect(error.msg).toContain("10.7.0.2");
    expect(box.leftovers()).toEqual(before);
    expect(box.call("CHECK", pod, box.conf({ prevResult })).exitCode).toBe(0);
  });

  test("without ipam and before the agent published pod CIDRs: try again later (code 11)", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const conf = box.conf({ ipam: undefined });
    expect(errorOf(box.call("ADD", pod, conf)).code).toBe(11);
    expect(box.leftovers()).toEqual(NOTHING);
  });
});
