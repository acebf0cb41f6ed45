import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { askTcp, KINDS, mappings, NO_PORTS, NODE, PortNode, serveTcp } from "./host-ports-node.ts";
import { destroySandboxes, type Json, NETWORK } from "./sandbox.ts";
import { errorOf, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  destroySandboxes();
});
afterAll(destroySandboxes);

const mapped = (...portMappings: Json[]): Json => ({ runtimeConfig: { portMappings } });
const PORT = { hostPort: 8080, containerPort: 80, protocol: "tcp" };
const at = (hostIP: string, more: Json = {}): Json => ({ ...mapped({ ...PORT, hostIP }), ...more });
const V4_ONLY = { ranges: [[{ subnet: "10.7.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };

/** What is wrong, the code, and what is said of it; keys of `ipam` apart. */
const REFUSED: readonly (readonly [string, Json, number, string, Json?])[] = [
  ["host port 0", mapped({ ...PORT, hostPort: 0 }), 7, "Invalid host port number: 0"],
  ["host port 65536", mapped({ ...PORT, hostPort: 65536 }), 7, "Invalid host port number: 65536"],
  ["container port 0", mapped({ ...PORT, containerPort: 0 }), 7, "Invalid container port number: 0"],
  ["an unknown protocol", mapped({ ...PORT, protocol: "icmp" }), 7, 'unknown protocol "icmp"'],
  ["a hostIP that is no address", at("eth0"), 7, 'invalid hostIP "eth0"'],
  ["somebody else's IPv4 address", at("192.0.2.77"), 7, "hostIP 192.0.2.77 is no address of this node"],
  ["somebody else's IPv6 address", at("2001:db8::77"), 7, "hostIP 2001:db8::77 is no address of this node"],
  ["::1", at("::1", { hostPortLocalhost: true }), 7, "hostIP ::1 leads to no pod"],
  ["a hostIP of a family that the pod lacks", at(NODE[1]), 7, "the pod has no address of IPv6", V4_ONLY],
  ["all of a family that the pod lacks", at("::"), 7, "the pod has no address of IPv6", V4_ONLY],
  ["one port twice", mapped(PORT, { ...PORT, containerPort: 81 }), 7, "tcp 8080 is asked for twice"],
  [
    "a mark's bit that is none",
    { ...mapped(PORT), markMasqBit: 32 },
    7,
    "MasqMarkBit must be between 0 and 31",
  ],
  [
    "two ways to mark",
    { ...mapped(PORT), markMasqBit: 5, externalSetMarkChain: "THEIRS" },
    7,
    "Cannot specify externalSetMarkChain and markMasqBit",
  ],
  ["a condition that ends its line", { ...mapped(PORT), conditionsV4: ["a\nCOMMIT"] }, 7, "conditionsV4"],
  ["an unknown backend", { ...mapped(PORT), backend: "foo" }, 2, 'backend="foo"'],
  ["an unknown backend, without any port", { backend: "foo" }, 2, 'backend="foo"'],
  [
    "a chain of iptables for nftables",
    { ...mapped(PORT), backend: "nftables", externalSetMarkChain: "THEIRS" },
    2,
    "externalSetMarkChain",
  ],
];

describe("host ports that can't be", () => {
  test.each(REFUSED)("%s: told, and nothing is left", (_, overrides, code, message, ipam = {}) => {
    const node = new PortNode();
    const before = node.traces();
    const error = errorOf(node.box.call("ADD", node.box.pod(), node.box.conf(overrides, ipam)));
    expect(error.code).toBe(code);
    expect(error.msg).toContain(message);
    expect(node.traces()).toEqual(before);
    expect(before).toEqual(NO_PORTS);
  });

  test("DEL and GC of a pod with such a configuration are done all the same", () => {
    const node = new PortNode();
    for (const [, overrides, , , ipam = {}] of REFUSED) {
      const conf = node.box.conf(overrides, ipam);
      expect(node.box.call("DEL", node.box.pod(), conf).stdout).toBe("");
      expect(node.box.call("GC", node.box.pod(), { ...conf, "cni.dev/valid-attachments": [] }).stdout).toBe(
        "",
      );
    }
  });

  for (const kind of KINDS) {
    test(`words that ${kind} does not know: told, nothing is left, and other pods' ports go on`, async () => {
      const node = new PortNode(kind);
      const first = node.add(["tcp 8080 80"]);
      servers.push(serveTcp(first.netns, 80, "pod"));
      const before = node.traces();
      const wrong: Json[] = [{ conditionsV4: ["--nonsense"] }, { conditionsV6: ["--nonsense"] }];
      if (kind !== "nftables") wrong.push({ externalSetMarkChain: "NOBODYS" });
      for (const overrides of wrong) {
        const pod = node.box.pod();
        const error = errorOf(node.box.call("ADD", pod, node.conf(["tcp 8081 80"], overrides), node.env));
        expect(`${error.msg} ${error.details}`).toMatch(/nonsense|NOBODYS/);
        expect(node.traces()).toEqual(before);
      }
      expect(await askTcp(node.world.netns, NODE[0], 8080)).toStartWith("pod saw ");
      node.del(node.add(["tcp 8081 80"]));
      node.del(first);
      expect(node.traces()).toEqual(NO_PORTS);
    });
  }

  test("a chain of another program that marks", async () => {
    const node = new PortNode();
    for (const tool of ["iptables", "ip6tables"]) {
      node.box.node(tool, "-t", "nat", "-N", "THEIRS");
      node.box.node(tool, "-t", "nat", "-A", "THEIRS", "-j", "MARK", "--set-xmark", "0x4000/0x4000");
      const masquerade = ["-m", "mark", "--mark", "0x4000/0x4000", "-j", "MASQUERADE"];
      node.box.node(tool, "-t", "nat", "-A", "POSTROUTING", ...masquerade);
    }
    const pod = node.add(["tcp 8080 80"], { externalSetMarkChain: "THEIRS" });
    servers.push(serveTcp(pod.netns, 80, "pod"));
    for (const address of NODE) expect(await askTcp(pod.netns, address, 8080)).toStartWith("pod saw ");
    node.del(pod);
    expect(node.traces()).toEqual(NO_PORTS);
  });

  test.each([
    ["iptables-nft", ["!", "-s", "192.0.2.1/32"], ["!", "-s", "2001:db8::1/128"]],
    ["nftables", ["ip", "saddr", "!=", "192.0.2.1"], ["ip6", "saddr", "!=", "2001:db8::1"]],
  ] as const)("conditions, by %s: who is not meant does not come through", async (kind, four, six) => {
    const node = new PortNode(kind);
    const pod = node.box.pod();
    const conf = node.conf(["tcp 8080 80"], { conditionsV4: four, conditionsV6: six });
    const prevResult = node.box.add(pod, conf);
    servers.push(serveTcp(pod.netns, 80, "pod"));
    for (const address of NODE) {
      expect(await askTcp(node.world.netns, address, 8080)).toBeNull();
      expect(await askTcp(node.box.netns, address, 8080)).toStartWith("pod saw ");
    }
    expect(node.box.call("CHECK", pod, { ...conf, prevResult }).stdout).toBe("");
    node.del(pod);
    expect(node.traces()).toEqual(NO_PORTS);
  });
});

describe("a port that another attachment has", () => {
  test.each([
    ["the same", "tcp 8080 80"],
    ["one address of it", `tcp ${NODE[0]}:8080 80`],
    ["one family of it", "tcp [::]:8080 80"],
  ])("%s: code 11, the holder is named, and nothing of the second is left", (_, wish) => {
    const node = new PortNode();
    const holder = node.add(["udp 1 1", "tcp 8080 80"]);
    const before = node.traces();
    const pod = node.box.pod();
    const error = errorOf(node.box.call("ADD", pod, node.conf(["udp 2 2", wish])));
    expect(error.code).toBe(11);
    expect(error.msg).toContain(`is held by ${holder.id} eth0 of network ${NETWORK}`);
    expect(error.details).toContain("10.7.0.2");
    expect(node.traces()).toEqual(before);
    node.del(holder);
    resultOf(node.box.call("ADD", pod, node.conf(["udp 2 2", wish])));
  });

  test("of another network, too; another protocol or address is free", () => {
    const node = new PortNode();
    const ranges = [[{ subnet: "10.72.0.0/24" }]];
    const second = { name: "net2", bridge: "br2", ipam: { dataDir: node.box.dataDir, ranges } };
    node.add([`tcp ${NODE[0]}:8080 80`]);
    const error = errorOf(node.box.call("ADD", node.box.pod(), node.conf(["tcp 8080 80"], second)));
    expect(error).toMatchObject({ code: 11, msg: expect.stringContaining(`of network ${NETWORK}`) });
    expect(node.box.reservations("net2")).toEqual([]);
    expect(node.box.records("net2")).toEqual([]);
    node.add(["udp 8080 80"], second);
    node.add(["tcp 10.7.0.1:8080 80"], second);
  });

  test("by two pods at once: one has it, the other is told", async () => {
    const node = new PortNode();
    node.add(["tcp 1 1"]);
    const conf = node.conf(["tcp 8080 80"]);
    const done = await Promise.all(node.box.pods(4).map((pod) => node.box.start("ADD", pod, conf).done));
    expect(done.filter(({ exitCode }) => exitCode === 0)).toHaveLength(1);
    for (const one of done.filter(({ exitCode }) => exitCode !== 0)) {
      expect(errorOf(one)).toMatchObject({ code: 11, msg: expect.stringContaining("tcp 8080 is held by") });
    }
    expect(node.rules().filter((rule) => rule.includes("--dport 8080"))).toHaveLength(2);
  });

  test("a pod that is there is as it was when its ADD is repeated", () => {
    const node = new PortNode();
    const pod = node.box.pod();
    const conf = { runtimeConfig: { portMappings: mappings(["tcp 8080 80"]) } };
    const prevResult = node.box.add(pod, node.box.conf(conf));
    const before = node.traces();
    expect(errorOf(node.box.call("ADD", pod, node.box.conf(conf))).code).toBe(7);
    expect(node.traces()).toEqual(before);
    expect(node.box.call("CHECK", pod, node.box.conf({ ...conf, prevResult })).stdout).toBe("");
  });
});
