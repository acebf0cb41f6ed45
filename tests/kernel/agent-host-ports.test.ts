import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2 } from "./agent.ts";
import type { Json } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const PORTS = {
  portMappings: [
    { hostPort: 8080, containerPort: 80, protocol: "tcp" },
    { hostPort: 53, containerPort: 53, protocol: "udp" },
  ],
};

function nodeWith(more: Json = {}): { node: AgentNode; conf: Json } {
  const node = new AgentNode();
  node.nodes(N1, N2);
  const conf = node.box.conf({ runtimeConfig: PORTS, ...more });
  return { node, conf };
}

const rulesOf = (node: AgentNode) =>
  ["iptables", "ip6tables"]
    .flatMap((tool) => node.box.node(tool, "-t", "nat", "-S").split("\n"))
    .filter((line) => /MINICNI-(HOSTPORT|DNAT)/.test(line))
    .sort();

test("rules of host ports that somebody flushes are back, and told", async () => {
  const { node, conf } = nodeWith();
  const agent = await node.up();
  const pod = node.box.pod();
  const prevResult = node.box.add(pod, conf);
  const made = rulesOf(node);
  expect(made.filter((line) => line.includes("--to-destination"))).toHaveLength(4);
  for (const tool of ["iptables", "ip6tables"]) node.box.node(tool, "-t", "nat", "-F");
  await node.until("they are back", () => rulesOf(node).join() === made.join(), agent);
  await agent.says(/info "?host ports"? cause=kernel/);
  node.box.node("sh", "-ec", "iptables -t nat -F; iptables -t nat -X");
  await node.until("they are back with their chains", () => rulesOf(node).join() === made.join(), agent);
  expect(node.box.call("CHECK", pod, { ...conf, prevResult }).exitCode).toBe(0);
});

test("an agent that starts finds what was flushed while there was none", async () => {
  const { node, conf } = nodeWith();
  node.box.add(node.box.pod(), conf);
  const made = rulesOf(node);
  node.box.node("iptables", "-t", "nat", "-F");
  const agent = await node.up();
  await node.until("they are back", () => rulesOf(node).join() === made.join(), agent);
});

test("a dead pod's rules go with it, and its port is free for another", async () => {
  const { node, conf } = nodeWith();
  const { cniVersion, name } = conf;
  writeFileSync(`${node.confDir}/20-pods.conflist`, JSON.stringify({ cniVersion, name, plugins: [conf] }));
  const agent = await node.up("--leak-grace", "1");
  const [dead, next] = [node.box.pod(), node.box.pod()];
  node.box.add(dead, conf);
  expect(node.box.call("ADD", next, conf).stdout).toContain(`held by ${dead.id}`);
  node.box.removePod(dead);
  await node.until("its rules are gone", () => rulesOf(node).length === 0, agent);
  node.box.add(next, conf);
  expect(rulesOf(node).length).toBeGreaterThan(0);
});

test("rules in nftables are put back as well", async () => {
  const { node, conf } = nodeWith({ backend: "nftables" });
  const agent = await node.up();
  node.box.add(node.box.pod(), conf);
  const table = () => node.box.node("nft", "list", "tables");
  expect(table()).toContain("minicni_hostports");
  node.box.node("nft", "delete", "table", "inet", "minicni_hostports");
  await node.until("the table is back", () => table().includes("minicni_hostports"), agent);
});

test("nobody has host ports: no rule, and no book of them", async () => {
  const { node, conf } = nodeWith({ runtimeConfig: {} });
  await node.up();
  node.box.add(node.box.pod(), conf);
  expect(rulesOf(node)).toEqual([]);
  expect(node.box.node("sh", "-c", `ls ${node.stateDir}/hostports 2>/dev/null || true`)).toBe("");
});

test("a list that gives a capability to two plugins is told", async () => {
  const { node, conf } = nodeWith();
  const { cniVersion, name } = conf;
  const capabilities = { portMappings: true };
  const plugins = [
    { ...conf, capabilities },
    { type: "portmap", capabilities },
  ];
  writeFileSync(`${node.confDir}/20-pods.conflist`, JSON.stringify({ cniVersion, name, plugins }));
  const agent = await node.up("--leak-grace", "1");
  await agent.says(/doubled capabilities.*20-pods\.conflist declares the capability portMappings/);
});
