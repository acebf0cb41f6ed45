import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BINARY, BRIDGE, destroySandboxes, type Json, must, NOTHING, run, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, resultOf } from "./views.ts";

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

  test("isGateway false: no address on the bridge, no forwarding, pods reach each other", () => {
    const box = new Sandbox();
    const [a, b] = [box.pod(), box.pod()];
    const conf = box.conf({ isGateway: false }, { routes: [] });
    box.add(a, conf);
    const prevResult = box.add(b, conf);
    expect(box.link(BRIDGE).addr_info.filter(({ scope }) => scope === "global")).toEqual([]);
    expect(box.node("cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe("0");
    for (const address of addressesOf(prevResult)) expect(box.pings(a.netns, address)).toBe(true);
    expect(box.call("CHECK", b, { ...conf, prevResult }).exitCode).toBe(0);
  });

  test("isDefaultGateway gives the default routes that ipam.routes left out, and tells them", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const { routes } = box.add(pod, box.conf({ isDefaultGateway: true }, { routes: [] }));
    expect(routes).toEqual([
      { dst: "0.0.0.0/0", gw: "10.7.0.1" },
      { dst: "::/0", gw: "fd00:7::1" },
    ]);
    for (const family of [4, 6] as const)
      expect(box.routes(pod.netns, family).some(({ dst }) => dst === "default")).toBe(true);
  });

  test("the wished MAC: runtimeConfig before args.cni before CNI_ARGS", () => {
    const box = new Sandbox();
    const env = { CNI_ARGS: "MAC=02:00:00:00:00:03" };
    const args = { cni: { mac: "02:00:00:00:00:02" } };
    const runtimeConfig = { mac: "02:00:00:00:00:01" };
    const given = [{}, { args }, { args, runtimeConfig }].map(
      (wish) => box.add(box.pod(), box.conf(wish, V4), env).interfaces[2]?.mac,
    );
    expect(given).toEqual(["02:00:00:00:00:03", "02:00:00:00:00:02", "02:00:00:00:00:01"]);
  });

  test("wished addresses: those of args.cni and of runtimeConfig together, CNI_ARGS where args.cni is silent", () => {
    const box = new Sandbox();
    const env = { CNI_ARGS: "IP=10.7.0.33" };
    const args = { cni: { ips: ["10.7.0.22"] } };
    const runtimeConfig = { ips: ["fd00:7::11"] };
    const given = [{}, { runtimeConfig: { ips: ["fd00:7::12"] } }, { args, runtimeConfig }].map((wish) => {
      const pod = box.pod();
      const addresses = addressesOf(box.add(pod, box.conf(wish), env));
      box.call("DEL", pod);
      return addresses;
    });
    expect(given).toEqual([
      ["10.7.0.33", "fd00:7::2"],
      ["10.7.0.33", "fd00:7::12"],
      ["10.7.0.22", "fd00:7::11"],
    ]);
  });

  test("dns comes from the configuration, else from ipam.resolvConf", () => {
    const box = new Sandbox();
    const resolvConf = `${box.dir}/resolv.conf`;
    writeFileSync(
      resolvConf,
      "; by hand\nnameserver 10.0.0.1\nsearch a.example b.example\noptions ndots:2\n",
    );
    const dnsOf = (conf: Json) => JSON.parse(box.call("ADD", box.pod(), conf).stdout).dns;
    expect(dnsOf(box.conf({}, { ...V4, resolvConf }))).toEqual({
      nameservers: ["10.0.0.1"],
      search: ["a.example", "b.example"],
      options: ["ndots:2"],
    });
    const dns = { nameservers: ["10.0.0.2"] };
    expect(dnsOf(box.conf({ dns }, { ...V4, resolvConf }))).toEqual(dns);
  });
});

describe("together with the reference plugins", () => {
  const REFERENCE = "/usr/lib/cni";
  const isThere = ["bridge", "host-local", "static"].every((name) => existsSync(`${REFERENCE}/${name}`));
  if (!isThere) process.stderr.write(`options: some tests skipped, no reference plugins in ${REFERENCE}\n`);
  const env = { CNI_PATH: `/nonexistent:${REFERENCE}` };

  test.skipIf(!isThere)(
    "ipam.type static: its address, route and dns; DEL without it in CNI_PATH says so",
    () => {
      const box = new Sandbox();
      const pod = box.pod();
      const addresses = [{ address: "10.7.0.50/24", gateway: "10.7.0.1" }];
      const ipam = {
        type: "static",
        addresses,
        routes: [{ dst: "0.0.0.0/0" }],
        dns: { domain: "x.example" },
      };
      const conf = box.conf({ cniVersion: "1.0.0", ipam });
      const prevResult = box.add(pod, conf, env);
      expect(prevResult).toMatchObject({ ips: addresses, dns: ipam.dns });
      expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
      expect(box.call("CHECK", pod, { ...conf, prevResult }, env).exitCode).toBe(0);
      expect(errorOf(box.call("DEL", pod, conf)).msg).toContain(`failed to find plugin "static" in path`);
      expect(box.call("DEL", pod, conf, env).exitCode).toBe(0);
      expect(box.leftovers()).toEqual(NOTHING);
    },
  );

  test.skipIf(!isThere)("ipam.delegate: host-local itself is run, and its refusal passes through", () => {
    const box = new Sandbox();
    const pods = box.pods(2);
    const ipam = { type: "host-local", delegate: true, ranges: [[{ subnet: "10.7.0.0/30" }]], routes: [] };
    const conf = box.conf({ cniVersion: "1.0.0" }, ipam);
    const [first, second] = pods.map((pod) => box.call("ADD", pod, conf, env));
    expect(first?.exitCode).toBe(0);
    const error = second === undefined ? null : errorOf(second);
    expect(error?.code).toBe(999);
    expect(error?.msg).toContain("no IP addresses available in range set: 10.7.0.1-10.7.0.2");
    expect(box.records()).toEqual(["pod1:eth0.json"]);
    for (const pod of pods) expect(box.call("DEL", pod, conf, env).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test.skipIf(!isThere)("the reference bridge plugin gets its addresses from us", () => {
    const box = new Sandbox();
    const folder = `${box.dir}/bin`;
    mkdirSync(folder);
    symlinkSync(resolve(BINARY), `${folder}/minicni`);
    const pod = box.pod();
    const conf = box.conf({ type: "bridge", cniVersion: "1.0.0", isGateway: true }, { type: "minicni" });
    const bridge = (command: string, more: Json = {}) => {
      const argv = ["/usr/bin/nsenter", `--net=${box.netns}`, `${REFERENCE}/bridge`];
      const stdin = JSON.stringify({ ...conf, ...more });
      return run(argv, { stdin, env: box.variables(command, pod, { CNI_PATH: folder }) });
    };
    const prevResult = resultOf(bridge("ADD"));
    expect(addressesOf(prevResult)).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
    expect(box.reservations().sort()).toEqual(["10.7.0.2", "fd00:7::2"]);
    expect(bridge("CHECK", { prevResult }).exitCode).toBe(0);
    expect(bridge("DEL", { prevResult }).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
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
