import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { BRIDGE, destroySandboxes, must, Sandbox } from "./sandbox.ts";
import { errorOf } from "./views.ts";

afterAll(destroySandboxes);

const V4 = { type: "host-local", ranges: [[{ subnet: "10.7.0.0/24" }]], routes: [] };

function details(box: Sandbox, link: string): string {
  return must("ip", "-n", box.name, "-d", "link", "show", "dev", link);
}

function hostVeth(box: Sandbox): string {
  return box.links().find(({ ifname }) => ifname.startsWith("mcni"))?.ifname ?? "(none)";
}

describe("options of the bridge plugin", () => {
  test("hairpin is on by default, off when told so", () => {
    const [on, off] = [new Sandbox(), new Sandbox()];
    on.add(on.pod());
    off.add(off.pod(), off.conf({ hairpinMode: false }));
    expect(details(on, hostVeth(on))).toContain("hairpin on");
    expect(details(off, hostVeth(off))).toContain("hairpin off");
  });

  test("promiscMode takes the place of hairpin; both together are refused", () => {
    const box = new Sandbox();
    box.add(box.pod(), box.conf({ promiscMode: true }));
    expect(details(box, BRIDGE)).toContain("PROMISC");
    expect(details(box, hostVeth(box))).toContain("hairpin off");
    const both = box.call("ADD", box.pod(), box.conf({ promiscMode: true, hairpinMode: true }));
    expect(errorOf(both).code).toBe(7);
  });

  test("portIsolation isolates the port", () => {
    const box = new Sandbox();
    box.add(box.pod(), box.conf({ portIsolation: true }));
    expect(details(box, hostVeth(box))).toContain("isolated on");
  });

  test("another gateway address is refused, and replaced with forceAddress", () => {
    const box = new Sandbox();
    box.add(box.pod(), box.conf({}, V4));
    const ipam = { ...V4, ranges: [[{ subnet: "10.7.0.0/24", gateway: "10.7.0.99" }]] };
    const refused = errorOf(box.call("ADD", box.pod(), box.conf({}, ipam)));
    expect(refused.code).toBe(7);
    expect(refused.msg).toContain("10.7.0.99/24");
    expect(refused.msg).toContain("10.7.0.1/24");
    box.add(box.pod(), box.conf({ forceAddress: true }, ipam));
    const addresses = must("ip", "-n", box.name, "-4", "addr", "show", "dev", BRIDGE);
    expect(addresses).toContain("10.7.0.99/24");
    expect(addresses).not.toContain("10.7.0.1/24");
  });

  test("routes keep their gateway, MTU, MSS, priority and table", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const route = { dst: "10.99.0.0/16", gw: "10.7.0.9", mtu: 1200, advmss: 1100, priority: 50, table: 77 };
    box.add(pod, box.conf({}, { ...V4, routes: [route] }));
    const shown = must("nsenter", `--net=${pod.netns}`, "ip", "route", "show", "table", "77");
    expect(shown.trim()).toBe("10.99.0.0/16 via 10.7.0.9 dev eth0 metric 50 mtu 1200 advmss 1100");
  });

  test("disableContainerInterface leaves the pod's end down and without addresses", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const conf = box.conf({ disableContainerInterface: true, ipam: undefined });
    const result = box.add(pod, conf);
    expect(result).not.toHaveProperty("ips");
    expect(must("nsenter", `--net=${pod.netns}`, "ip", "link", "show", "dev", "eth0")).toContain(
      "state DOWN",
    );
    expect(box.call("CHECK", pod, { ...conf, prevResult: result }).exitCode).toBe(0);
    expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect(hostVeth(box)).toBe("(none)");
  });

  test("an older bridge keeps its MTU, and the result tells it", () => {
    const box = new Sandbox();
    box.add(box.pod(), box.conf({ mtu: 1400 }));
    const { interfaces } = box.add(box.pod(), box.conf({ mtu: 1300, cniVersion: "1.1.0" }));
    expect(interfaces.map(({ mtu }) => mtu)).toEqual([1400, 1300, 1300]);
  });
});

describe("kept bitmaps", () => {
  test("of both families hold after an ADD and after a DEL, so that no call lists the folder", () => {
    const box = new Sandbox();
    const [a, b, c] = [box.pod(), box.pod(), box.pod()];
    const folder = `${box.dataDir}/net1`;
    const stamps = () =>
      [0, 1].map((set) => /"mtimeNs":"(\d+)"/.exec(readFileSync(`${folder}/.pool.${set}`, "latin1"))?.[1]);
    const now = () => statSync(folder, { bigint: true }).mtimeNs.toString();
    box.add(a);
    for (const step of [
      () => box.add(b),
      () => box.add(c, box.conf(), { CNI_ARGS: "IP=10.7.0.77" }),
      () => box.call("DEL", a),
    ]) {
      step();
      expect(stamps()).toEqual([now(), now()]);
    }
  });
});
