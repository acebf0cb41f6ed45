import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BRIDGE, destroySandboxes, must, NOTHING, Sandbox } from "./sandbox.ts";
import { tentative } from "./tentative.ts";
import { addressesOf, errorOf } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const V6_ONLY = { ranges: [[{ subnet: "fd00:7::/64" }]], routes: [{ dst: "::/0" }] };
const V4_ONLY = { ranges: [[{ subnet: "10.7.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };

function sysctlIn(netns: string, ...settings: string[]): void {
  must("nsenter", `--net=${netns}`, "sysctl", "-qw", ...settings);
}

function readIn(netns: string, key: string): string {
  return must("nsenter", `--net=${netns}`, "cat", `/proc/sys/net/ipv6/conf/${key}`).trim();
}

function disableV6(netns: string): void {
  sysctlIn(netns, "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
}

for (const [what, ipam, own] of [
  ["IPv6 only", V6_ONLY, ["fd00:7::2"]],
  ["dual-stack", {}, ["10.7.0.2", "fd00:7::2"]],
] as const) {
  describe(`a pod that is ${what}`, () => {
    test("has its addresses at once, none tentative, and a MAC that follows from them", () => {
      const box = new Sandbox();
      const pod = box.pod();
      const result = box.add(pod, box.conf({}, ipam));
      expect(addressesOf(result)).toEqual([...own]);
      expect(tentative(box, pod)).toEqual([]);
      const mac = box.link("eth0", pod.netns).address;
      expect(result.interfaces[2]?.mac).toBe(mac);
      // The same address gives the same MAC, on another node as well.
      const other = new Sandbox();
      const twin = other.pod();
      other.add(twin, other.conf({}, ipam));
      expect(other.link("eth0", twin.netns).address).toBe(mac);
    });

    test("takes no router advertisements, and neither does the bridge; forwarding is on", () => {
      const box = new Sandbox();
      const pod = box.pod();
      sysctlIn(pod.netns, "net.ipv6.conf.default.accept_ra=2");
      sysctlIn(box.netns, "net.ipv6.conf.default.accept_ra=2");
      box.add(pod, box.conf({}, ipam));
      expect(readIn(pod.netns, "eth0/accept_ra")).toBe("0");
      expect(readIn(box.netns, `${BRIDGE}/accept_ra`)).toBe("0");
      expect(readIn(box.netns, "all/forwarding")).toBe("1");
    });

    test("with enabledad: the address was checked, and is usable when ADD returns", () => {
      const box = new Sandbox();
      const pod = box.pod();
      box.add(pod, box.conf({ enabledad: true }, ipam));
      expect(readIn(pod.netns, "eth0/accept_dad")).not.toBe("0");
      expect(tentative(box, pod)).toEqual([]);
      expect(box.pings(pod.netns, "fd00:7::1")).toBe(true);
    });

    test("with enabledad, and its address in use on the link: refused, nothing is left", () => {
      const box = new Sandbox();
      const [squatter, pod] = [box.pod(), box.pod()];
      box.add(squatter, box.conf({}, { ranges: [[{ subnet: "10.8.0.0/24" }]], routes: [] }));
      const before = box.leftovers();
      must("nsenter", `--net=${squatter.netns}`, "ip", "addr", "add", "fd00:7::2/64", "dev", "eth0", "nodad");
      const error = errorOf(box.call("ADD", pod, box.conf({ enabledad: true }, ipam)));
      expect(error.msg).toContain("fd00:7::2");
      expect(box.leftovers()).toEqual(before);
      expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
    });

    test("whose runtime turned IPv6 off in its namespace has its address and its route", () => {
      const box = new Sandbox();
      const pod = box.pod();
      disableV6(pod.netns);
      const prevResult = box.add(pod, box.conf({}, ipam));
      const { addr_info } = box.link("eth0", pod.netns);
      expect(addr_info.map(({ local }) => local)).toContain("fd00:7::2");
      expect(box.routes(pod.netns, 6).filter(({ dst }) => dst === "default")).toMatchObject([
        { gateway: "fd00:7::1", dev: "eth0" },
      ]);
      expect(box.pings(pod.netns, "fd00:7::1")).toBe(true);
      expect(box.call("CHECK", pod, box.conf({ prevResult }, ipam)).exitCode).toBe(0);
    });

    test("DEL and a new ADD on the same node work, the old address rests", () => {
      const box = new Sandbox();
      const [a, b] = [box.pod(), box.pod()];
      box.add(a, box.conf({}, ipam));
      expect(box.call("DEL", a, box.conf({}, ipam)).exitCode).toBe(0);
      expect(box.leftovers()).toEqual(NOTHING);
      expect(addressesOf(box.add(b, box.conf({}, ipam)))).toContain("fd00:7::3");
      expect(box.pings(b.netns, "fd00:7::1")).toBe(true);
    });
  });
}

describe("a node without IPv6", () => {
  test("gives IPv4 pods that work", () => {
    const box = new Sandbox();
    disableV6(box.netns);
    const [a, b] = [box.pod(), box.pod()];
    const conf = box.conf({ ipMasq: true }, V4_ONLY);
    const prevResult = box.add(a, conf);
    const [address = ""] = addressesOf(box.add(b, conf));
    expect(box.pings(a.netns, "10.7.0.1")).toBe(true);
    expect(box.pings(a.netns, address)).toBe(true);
    expect(box.call("CHECK", a, { ...conf, prevResult }).exitCode).toBe(0);
    for (const pod of [a, b]) expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("gives dual-stack pods, whose bridge gets IPv6, or says why not and leaves nothing", () => {
    const box = new Sandbox();
    disableV6(box.netns);
    const pod = box.pod();
    const done = box.call("ADD", pod);
    if (done.exitCode === 0) {
      expect(box.pings(pod.netns, "fd00:7::1")).toBe(true);
    } else {
      const { msg, details } = errorOf(done);
      expect(`${msg} ${details}`).toMatch(/ipv6/i);
      expect(box.leftovers()).toEqual(NOTHING);
    }
  });

  test("leaves a pod's IPv6 off when it gets IPv4 only", () => {
    const box = new Sandbox();
    const pod = box.pod();
    disableV6(pod.netns);
    box.add(pod, box.conf({}, V4_ONLY));
    expect(readIn(pod.netns, "eth0/disable_ipv6")).toBe("1");
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });
});

describe("families of one bridge", () => {
  test("IPv4 first, IPv6 later: the second ADD adds its gateway and switches forwarding on", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    box.add(a, box.conf({}, V4_ONLY));
    expect(readIn(box.netns, "all/forwarding")).toBe("0");
    box.add(b, box.conf({}, V6_ONLY));
    expect(readIn(box.netns, "all/forwarding")).toBe("1");
    expect(box.pings(a.netns, "10.7.0.1")).toBe(true);
    expect(box.pings(b.netns, "fd00:7::1")).toBe(true);
  });

  test("two range sets of one family: two addresses of it, both work", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const ranges = ["fd00:7::/64", "fd00:8::/64"].map((subnet) => [{ subnet }]);
    expect(addressesOf(box.add(pod, box.conf({}, { ranges, routes: [] })))).toEqual([
      "fd00:7::2",
      "fd00:8::2",
    ]);
    for (const gateway of ["fd00:7::1", "fd00:8::1"]) expect(box.pings(pod.netns, gateway)).toBe(true);
  });
});
