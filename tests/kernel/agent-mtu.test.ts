import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3, type NodeWords, v4, v6 } from "./agent.ts";
import { run } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** With IPv6 pods, and no IPv6 address of its own. */
const bare = (words: NodeWords) => ({ ...words, addresses: words.addresses.slice(0, 1) });

/** A pod with addresses of the node's pod CIDRs. */
function addPod({ box }: AgentNode) {
  const pod = box.pod();
  const conf = box.conf({ ipam: undefined, dataDir: box.dataDir, bridge: "minicni0" });
  return { netns: pod.netns, addresses: addressesOf(box.add(pod, conf)) };
}

/** Whether a packet of 1280 bytes that nobody may divide comes back. */
function fits(netns: string, address: string): boolean {
  const payload = 1280 - 8 - (address.includes(":") ? 40 : 20);
  const words = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", `${payload}`, address];
  return run(["nsenter", `--net=${netns}`, ...words]).exitCode === 0;
}

describe("an MTU that IPv6 can't have", () => {
  const WHY =
    "the MTU of pods is 1200 (by MINICNI_MTU or --mtu), and IPv6, of which this Node has the pod CIDR fd44:0:0:1::/64, needs at least 1280 (RFC 8200)";

  test("by the settings: told, and no pod comes", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = node.start({ args: ["--mtu", "1200"] });
    await agent.says("warn mtu");
    await node.until("node.json says why", () => String(node.published().reason).includes(WHY), agent);
    expect(node.published().ready).toBe(false);
    expect(existsSync(node.conflist)).toBe(false);
    expect(agent.page("/readyz")).toMatch(/\[-\]published failed .*: the MTU of pods is 1200 .*RFC 8200/);
    expect(node.routes()).toHaveLength(4);
    expect(node.box.node("iptables-save")).toContain("MINICNI-FORWARD");
    await agent.stop();
    expect(node.once("--mtu", "1200").exitCode).toBe(1);
    expect(node.once("--mtu", "1280").exitCode).toBe(0);
    expect(node.published()).toMatchObject({ ready: true, mtu: 1280 });
  });

  test("on a node that works already: what is published stays", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    await (await node.up()).stop();
    const before = node.published();
    const agent = node.start({ args: ["--mtu", "1200"] });
    await agent.says("warn mtu");
    await node.until("it is told", () => agent.page("/readyz").includes("[-]published failed"), agent);
    expect(node.published()).toEqual(before);
    expect(existsSync(node.conflist)).toBe(true);
  });

  test("by the link: told, and it heals when the link is wide enough", async () => {
    const node = new AgentNode([4]);
    node.ip("link", "set", "eth0", "mtu", "1270");
    node.nodes(bare(N1), bare(N2), bare(N3));
    const agent = node.start();
    await agent.says(
      /warn mtu .*1270 \(detected by the link with the node's address\).*raise the MTU of that link by 10 bytes or more/,
    );
    await node.until("node.json says why", () => node.published().ready === false, agent);
    node.ip("link", "set", "eth0", "mtu", "1500");
    await agent.ready();
    expect(node.published()).toMatchObject({ ready: true, mtu: 1450 });
  });

  test("is no matter to a node without IPv6 pods", async () => {
    const node = new AgentNode([4]);
    node.nodes(v4(N1), v4(N2), v4(N3));
    await node.up("--mtu", "1200");
    expect(node.published()).toMatchObject({ ready: true, mtu: 1200 });
  });
});

test.each(["1", "67", "65536"])("an MTU of %s ends the agent", (mtu) => {
  const node = new AgentNode([4]);
  node.nodes(v4(N1));
  const done = node.once("--mtu", mtu);
  expect([done.exitCode, done.stderr]).toEqual([
    2,
    expect.stringMatching(/--mtu.*wanted 0 \(detect\).*from 68 .* to 65535/),
  ]);
});

describe("a link of 1300 bytes below a tunnel", () => {
  test("by IPv4: pods have 1280, IPv6 as well; the tunnel's own packets go in fragments", async () => {
    const node = new AgentNode([4]);
    const peer = new AgentNode([4], 2, node);
    for (const each of [node, peer]) {
      each.nodes(bare(N1), bare(N2));
      each.ip("link", "set", "eth0", "mtu", "1300");
      await each.up("--backend", "vxlan");
      expect(each.published()).toMatchObject({ ready: true, mtu: 1280 });
    }
    const here = addPod(node);
    const there = addPod(peer);
    expect(there.addresses).toHaveLength(2);
    for (const address of there.addresses)
      await node.until(`${address} answers`, () => fits(here.netns, address));
  });

  test("by IPv6, where the kernel drops what it would have to divide: told, and no pod comes", async () => {
    const node = new AgentNode([6]);
    node.ip("link", "set", "eth0", "mtu", "1300");
    node.nodes(v6(N1), v6(N2), v6(N3));
    const agent = node.start();
    await agent.says(/warn mtu .*the MTU of pods is 1230 .*raise the MTU of that link by 50 bytes or more/);
    await node.until("node.json says why", () => node.published().ready === false, agent);
    node.ip("link", "set", "eth0", "mtu", "1350");
    await agent.ready();
    expect(node.published()).toMatchObject({ ready: true, mtu: 1280 });
  });
});
