import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, N3, v4, v6 } from "./agent.ts";
import { run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const MACS = { n1: "0e:29:69:10:51:85", n2: "0e:43:f3:c9:21:88", n3: "0e:a8:3f:e6:a8:39" };

/** The device as `ip -d link` shows it, without what every VXLAN device of a kernel has. */
function device(node: AgentNode, name: string): string {
  const [first = "", ether = "", vxlan = ""] = node.ip("-d", "link", "show", "dev", name).split("\n");
  const mtu = /mtu (\d+)/.exec(first)?.[1];
  const state = /<.*\bUP\b.*>/.test(first) ? "up" : "down";
  const mac = /link\/ether (\S+)/.exec(ether)?.[1];
  const [told = ""] = /vxlan id \d+ local \S+|$/.exec(vxlan) ?? [];
  const port = /dstport \d+/.exec(vxlan)?.[0];
  const learning = /\bnolearning\b/.exec(vxlan)?.[0] ?? "learning";
  return `${state} mtu ${mtu} ${mac} ${told} ${port} ${learning}`;
}

function addresses(node: AgentNode, name: string): string[] {
  const lines = node.ip("-o", "addr", "show", "dev", name).split("\n");
  return lines.flatMap((line) => /inet6? (\S+)/.exec(line)?.[1] ?? []);
}

describe("a peer on the same link and one behind a router", () => {
  test("auto: the one directly, the other through the tunnel, both families", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    await node.up();
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
      "fd44:0:0:2::/64 via fd09::2 dev eth0",
      "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink",
    ]);
    expect(device(node, "minicni.vxlan")).toBe(
      `up mtu 1450 ${MACS.n1} vxlan id 157 local 10.9.0.1 dstport 8472 nolearning`,
    );
    expect(device(node, "minicni.vxlan6")).toBe(
      `up mtu 1430 ${MACS.n1} vxlan id 157 local fd09::1 dstport 8472 nolearning`,
    );
    expect(addresses(node, "minicni.vxlan")).toEqual(["10.244.1.0/32"]);
    expect(addresses(node, "minicni.vxlan6")).toEqual(["fd44:0:0:1::/128"]);
    expect(node.forwarding()).toEqual([`${MACS.n3} dst 10.8.0.3 self permanent`]);
    expect(node.forwarding("minicni.vxlan6")).toEqual([`${MACS.n3} dst fd08::3 self permanent`]);
    expect(node.neighbours()).toEqual([`10.244.3.0 lladdr ${MACS.n3} PERMANENT`]);
    expect(node.neighbours("minicni.vxlan6")).toEqual([
      `fe80::ca8:3fff:fee6:a839 lladdr ${MACS.n3} PERMANENT`,
    ]);
    expect(node.published()).toMatchObject({
      ready: true,
      podCidrs: N1.podCidrs,
      mtu: 1430,
      backend: "auto",
    });
  });

  test("host-gw: the one directly; why the other is not reached is told, and no device is made", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = await node.up("--backend", "host-gw");
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "fd44:0:0:2::/64 via fd09::2 dev eth0",
    ]);
    expect([node.hasLink("minicni.vxlan"), node.hasLink("minicni.vxlan6")]).toEqual([false, false]);
    await agent.says("n3: its InternalIP 10.8.0.3 is behind gateway 10.9.0.254");
    expect(node.published()).toMatchObject({ ready: true, mtu: 1500 });
  });

  test("vxlan: both through the tunnel; VNI, port and MTU as chosen", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    await node.up("--backend", "vxlan", "--vni", "42", "--vxlan-port", "4789", "--mtu", "1300");
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.244.2.0 dev minicni.vxlan onlink",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
      "fd44:0:0:2::/64 via fe80::c43:f3ff:fec9:2188 dev minicni.vxlan6 onlink",
      "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink",
    ]);
    expect(device(node, "minicni.vxlan")).toContain("vxlan id 42 local 10.9.0.1 dstport 4789");
    expect(node.forwarding().sort()).toEqual([
      `${MACS.n2} dst 10.9.0.2 self permanent`,
      `${MACS.n3} dst 10.8.0.3 self permanent`,
    ]);
    expect(node.published()).toMatchObject({ mtu: 1300, backend: "vxlan" });
  });
});

describe("a cluster of one family", () => {
  test("IPv4: nothing of IPv6 is made", async () => {
    const node = new AgentNode([4]);
    node.nodes(v4(N1), v4(N2), v4(N3));
    await node.up();
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
    ]);
    expect(node.hasLink("minicni.vxlan6")).toBe(false);
    expect(node.published()).toMatchObject({ podCidrs: ["10.244.1.0/24"], mtu: 1450 });
    expect(node.box.node("sysctl", "-n", "net.ipv6.conf.all.forwarding").trim()).toBe("0");
    expect(node.box.node("ip6tables-save")).not.toContain("MINICNI");
  });

  test("IPv6: nothing of IPv4 is made", async () => {
    const node = new AgentNode([6]);
    node.nodes(v6(N1), v6(N2), v6(N3));
    await node.up();
    expect(node.routes()).toEqual([
      "fd44:0:0:2::/64 via fd09::2 dev eth0",
      "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink",
    ]);
    expect(node.hasLink("minicni.vxlan")).toBe(false);
    expect(node.published()).toMatchObject({ podCidrs: ["fd44:0:0:1::/64"], mtu: 1430 });
    expect(node.box.node("iptables-save")).not.toContain("MINICNI");
  });

  test("a link too small for IPv6 in a tunnel matters only to a node that has IPv6 pods", async () => {
    const node = new AgentNode([4]);
    node.ip("link", "set", "eth0", "mtu", "1280");
    node.nodes(v4(N1), v4(N3));
    await node.up();
    expect(device(node, "minicni.vxlan")).toContain("mtu 1230 ");
    expect(node.published()).toMatchObject({ mtu: 1230 });
  });
});

describe("dual-stack pods on nodes of one family", () => {
  const bare = (node: typeof N1) => ({ ...node, addresses: node.addresses.slice(0, 1) });

  test("IPv6 of pods goes in IPv4 when no node has an IPv6 address", async () => {
    const node = new AgentNode([4]);
    node.nodes(bare(N1), bare(N2), bare(N3));
    await node.up();
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
      "fd44:0:0:2::/64 via fe80::c43:f3ff:fec9:2188 dev minicni.vxlan onlink",
      "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan onlink",
    ]);
    expect(addresses(node, "minicni.vxlan").sort()).toEqual(["10.244.1.0/32", "fd44:0:0:1::/128"]);
    expect(node.forwarding().sort()).toEqual([
      `${MACS.n2} dst 10.9.0.2 self permanent`,
      `${MACS.n3} dst 10.8.0.3 self permanent`,
    ]);
  });

  test("only towards the peer that has none, when we have one", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, bare(N3));
    await node.up();
    expect(node.routes()).toEqual([
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
      "fd44:0:0:2::/64 via fd09::2 dev eth0",
      "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan onlink",
    ]);
    expect(node.neighbours()).toEqual([
      `10.244.3.0 lladdr ${MACS.n3} PERMANENT`,
      `fe80::ca8:3fff:fee6:a839 lladdr ${MACS.n3} PERMANENT`,
    ]);
  });
});

/** Two nodes on one link, each with an address of its pod CIDRs. */
async function pair(backend: string, families: readonly (4 | 6)[], change: (node: typeof N1) => typeof N1) {
  const one = new AgentNode(families);
  const two = new AgentNode(families, 2, one);
  for (const [number, node] of [one, two].entries()) {
    node.nodes(change(N1), change(N2));
    node.ip("addr", "add", `10.244.${number + 1}.10/32`, "dev", "lo");
    node.ip("addr", "add", `fd44:0:0:${number + 1}::10/128`, "dev", "lo", "nodad");
    await node.up("--backend", backend);
  }
  return { one, two };
}

function reaches(node: AgentNode, from: string, to: string): boolean {
  const words = ["ping", "-q", "-c", "1", "-W", "2", "-I", from, to];
  return run(["nsenter", `--net=${node.netns}`, ...words]).exitCode === 0;
}

describe("two nodes reach each other's pod addresses, both families", () => {
  const same = (node: typeof N1) => node;
  const bareOf = (node: typeof N1) => ({ ...node, addresses: node.addresses.slice(0, 1) });
  test.each([
    ["directly", "host-gw", [4, 6], same],
    ["through the tunnel", "vxlan", [4, 6], same],
    ["through the tunnel of IPv4 alone", "auto", [4], bareOf],
  ] as const)("%s (%s)", async (_what, backend, families, change) => {
    const { one, two } = await pair(backend, families, change);
    expect(reaches(one, "10.244.1.10", "10.244.2.10")).toBe(true);
    expect(reaches(one, "fd44:0:0:1::10", "fd44:0:0:2::10")).toBe(true);
    expect(reaches(two, "fd44:0:0:2::10", "fd44:0:0:1::10")).toBe(true);
  });

  test("an IPv6 route to the whole cluster by another link does not keep the tunnel's away", async () => {
    const node = new AgentNode();
    node.ip("route", "add", "fd44::/32", "via", "fd09::99");
    node.nodes(N1, N3);
    await node.up();
    expect(node.routes()).toContain("fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink");
  });
});
