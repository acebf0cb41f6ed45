import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3, nodeItem, v6 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const BAD = {
  name: "bad",
  podCidrs: ["10.244.66.0/24", "fd44:0:0:66::/64"],
  addresses: ["10.9.0.66", "fd09::66"],
};

const GOOD_ROUTES = [
  "10.244.2.0/24 via 10.9.0.2 dev eth0",
  "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
  "fd44:0:0:2::/64 via fd09::2 dev eth0",
  "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink",
];

/** Nodes that can't be used as a whole: the list of Nodes says so. */
const UNUSABLE = [
  ["without a pod CIDR", { ...BAD, podCidrs: [] }, "bad has no pod CIDR"],
  [
    "with an odd address",
    { ...BAD, addresses: ["10.9.0.666"] },
    "bad has a value that is no address or network: 10.9.0.666",
  ],
  [
    "with a loopback address",
    { ...BAD, addresses: ["127.0.0.1"] },
    "bad has an InternalIP that no other node can reach",
  ],
  ["with the pod CIDR of another one", { ...BAD, podCidrs: ["10.244.2.0/24"] }, "has a pod CIDR of node"],
  ["with a pod CIDR in ours", { ...BAD, podCidrs: ["10.244.1.128/25"] }, "has a pod CIDR of node"],
  ["with our own address", { ...BAD, addresses: ["10.9.0.1"] }, "has an InternalIP of node"],
  ["without an address", { ...BAD, addresses: [] }, "bad has no InternalIP"],
] as const;

test.each(UNUSABLE)("a Node %s is named once and counted, and harms no other", async (_what, bad, told) => {
  const node = new AgentNode();
  // As the API has them: who came first keeps what both claim.
  const dated = [N1, N2, N3, bad].map((words, index) => {
    const item = nodeItem(words);
    return { ...item, metadata: { ...item.metadata, creationTimestamp: `2026-01-0${index + 1}T00:00:00Z` } };
  });
  node.nodes(...dated);
  const agent = await node.up();
  await agent.says(told);
  expect(node.routes()).toEqual(GOOD_ROUTES);
  expect(agent.page("/metrics")).toMatch(/minicni_agent_nodes_faulty\{reason="fault"\} 1/);
  await Bun.sleep(2_200);
  expect(agent.log().split(told)).toHaveLength(2);
  node.nodes(N1, N2, N3);
  await agent.says(/info "faulty nodes" cleared=true/);
});

test("a Node with an address of this machine that is not the node address is named, and harms no other", async () => {
  const node = new AgentNode();
  node.ip("addr", "add", "10.9.0.50/24", "dev", "eth0");
  node.nodes(N1, N2, N3, { ...BAD, podCidrs: ["10.244.66.0/24"], addresses: ["10.9.0.50"] });
  const agent = await node.up();
  await agent.says("bad: its InternalIP 10.9.0.50 is an address of this node too");
  expect(node.routes()).toEqual(GOOD_ROUTES);
  expect(agent.page("/metrics")).toContain('minicni_agent_peers{path="none"} 1');
});

test("an unreachable peer: told by host-gw, tried through the tunnel by auto", async () => {
  const node = new AgentNode();
  node.ip("route", "add", "unreachable", "10.7.0.0/24");
  node.nodes(N1, N2, { ...BAD, podCidrs: ["10.244.66.0/24"], addresses: ["10.7.0.66"] });
  const agent = await node.up("--backend", "host-gw");
  await agent.says("bad: its InternalIP 10.7.0.66 is unreachable: this node has no route to it");
  expect(node.routes()).toHaveLength(2);
  await agent.stop();
  await node.up();
  expect(node.routes()).toContain("10.244.66.0/24 via 10.244.66.0 dev minicni.vxlan onlink");
});

test("a peer of another family than ours is named, and harms no other", async () => {
  const node = new AgentNode([4]);
  const self = { ...N1, podCidrs: ["10.244.1.0/24"], addresses: ["10.9.0.1"] };
  node.nodes(self, { ...N2, podCidrs: ["10.244.2.0/24"], addresses: ["10.9.0.2"] }, v6(N3));
  const agent = await node.up();
  await agent.says("n3: has no InternalIP of a family that this node has one of");
  expect(node.routes()).toEqual(["10.244.2.0/24 via 10.9.0.2 dev eth0"]);
});

/** An `ip` that comes first in PATH and spoils the lines that match, while the file `refuse` is there. */
function startWithBadIp(node: AgentNode, pattern: string): Agent {
  const folder = `${node.box.dir}/bin`;
  mkdirSync(folder);
  writeFileSync(
    `${folder}/ip`,
    `#!/bin/bash
case " $* " in *" -batch "*)
  [ -e ${folder}/refuse ] && exec /usr/sbin/ip "$@" < <(sed -E 's#^${pattern}.*#route replace 10.244.2.0/24 dev nosuch#')
esac
exec /usr/sbin/ip "$@"
`,
  );
  chmodSync(`${folder}/ip`, 0o755);
  writeFileSync(`${folder}/refuse`, "");
  const args = ["--executor", "iproute2"];
  return node.start({ args, env: { PATH: `${folder}:${process.env.PATH}` } });
}

test("one route that `ip` refuses: all others are programmed, pods may come, readiness tells, and it heals", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const agent = startWithBadIp(node, "route replace 10\\.244\\.2\\.0/24 ");
  await agent.says(
    /steps failed: `ip route replace 10\.244\.2\.0\/24 via 10\.9\.0\.2 dev eth0 proto 157`: Cannot find device/,
  );
  await node.until("all others are there", () => Bun.deepEquals(node.routes(), GOOD_ROUTES.slice(1)), agent);
  expect(agent.page("/readyz")).toMatch(/\[-\]routes failed .*10\.244\.2\.0/);
  await node.until("pods may come", () => node.published().ready === true, agent);
  // Written behind node.json, and to the disk.
  await node.until("the conflist is there", () => existsSync(node.conflist), agent);
  await Bun.sleep(2_200);
  expect(agent.log().split("steps failed")).toHaveLength(2);
  expect(agent.page("/metrics")).toMatch(/step_failures_total\{op="route.replace"\} [2-9]/);
  node.box.node("rm", `${node.box.dir}/bin/refuse`);
  await agent.ready();
  expect(node.routes()).toEqual(GOOD_ROUTES);
  expect(node.published()).toMatchObject({ ready: true });
  expect(await Bun.file(node.conflist).exists()).toBe(true);
});

test("a route that is refused on a node that works already: pods still come", async () => {
  const node = new AgentNode();
  node.nodes(N1, N3);
  await (await node.up()).stop();
  node.nodes(N1, N2, N3);
  const agent = startWithBadIp(node, "route replace 10\\.244\\.2\\.0/24 ");
  await agent.says("steps failed");
  await node.until("all others are there", () => Bun.deepEquals(node.routes(), GOOD_ROUTES.slice(1)), agent);
  expect(agent.isReady()).toBe(false);
  expect(node.published()).toMatchObject({ ready: true });
});
