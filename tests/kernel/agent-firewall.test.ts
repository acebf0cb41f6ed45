import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { firewalldRules } from "../twin/firewalld.ts";
import { AgentNode, destroyNodes, N1, N2 } from "./agent.ts";
import { type Pod, run } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(90_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** A pod with addresses of the node's pod CIDRs. */
function addPod({ box }: AgentNode): { readonly pod: Pod; readonly addresses: readonly string[] } {
  const pod = box.pod();
  const conf = box.conf({ ipam: undefined, dataDir: box.dataDir, bridge: "minicni0" });
  return { pod, addresses: addressesOf(box.add(pod, conf)) };
}

function loadRules(node: AgentNode, text: string): void {
  const done = run(["nsenter", `--net=${node.netns}`, "nft", "-f", "-"], { stdin: text });
  expect(done.stderr).toBe("");
}

const tables = (node: AgentNode) => node.box.node("nft", "list", "tables");

test("firewalld rejects what comes to pods: told with the way out, and cleared when it has been gone", async () => {
  const node = new AgentNode();
  const peer = new AgentNode([4, 6], 2, node);
  for (const each of [node, peer]) each.nodes(N1, N2);
  loadRules(node, firewalldRules("eth0"));
  const agent = await node.up();
  await peer.up();
  const here = addPod(node);
  const there = addPod(peer);
  const reaches = () => here.addresses.map((address) => node.box.pings(there.pod.netns, address));
  await node.until(
    "pods here reach those there",
    () => there.addresses.every((address) => node.box.pings(here.pod.netns, address)),
    agent,
  );
  expect(reaches()).toEqual([false, false]);
  await agent.says(
    /warn "rules of others" fault=.*chain filter_FORWARD of nftables table inet firewalld drops/,
  );
  const words = [
    "what pods of other nodes send to pods here (IPv4, IPv6)",
    "filter_FWD_public: reject with icmpx admin-prohibited",
    "firewall-cmd --permanent --zone=trusted --add-source=10.244.1.0/24",
    "firewall-cmd --permanent --zone=trusted --add-source=fd44:0:0:1::/64",
    "firewall-cmd --permanent --zone=trusted --add-interface=minicni0; firewall-cmd --reload",
  ];
  for (const word of words) expect(agent.page("/readyz")).toContain(word);
  expect(agent.page("/readyz")).toMatch(
    /\[\+\]rules ok, but: chain filter_FORWARD[\s\S]*readyz check passed/,
  );
  expect(agent.page("/metrics")).toContain("minicni_agent_forward_blocks 1\n");
  // What the commands make of it.
  const cidrs = ["10.244.1.0/24", "10.244.2.0/24", "fd44:0:0:1::/64", "fd44:0:0:2::/64"];
  loadRules(node, `delete table inet firewalld\n${firewalldRules("eth0", cidrs, ["minicni0"])}`);
  await agent.says(/info "rules of others" cleared=true/);
  expect(reaches()).toEqual([true, true]);
  expect(agent.page("/readyz")).toContain("[+]rules ok\n");
  expect(agent.page("/metrics")).toContain("minicni_agent_forward_blocks 0\n");
});

test("a REJECT of iptables-nft is told where kubelet, and so minicni, uses iptables-legacy", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2);
  node.box.node("iptables-legacy", "-t", "mangle", "-N", "KUBE-KUBELET-CANARY");
  node.box.node("iptables-nft", "-A", "FORWARD", "-j", "REJECT");
  const agent = await node.up();
  await agent.says(/warn "rules of others" fault=.*chain FORWARD of nftables table ip filter drops/);
  await agent.stop();
  // In the same tables it is behind our jump.
  node.box.node("iptables-legacy", "-t", "mangle", "-X", "KUBE-KUBELET-CANARY");
  const next = await node.up();
  expect(next.page("/readyz")).toContain("[+]rules ok\n");
});

test("a firewall's tables are left as they are", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2);
  loadRules(node, firewalldRules("eth0"));
  const before = node.box.node("nft", "list", "table", "inet", "firewalld");
  const agent = await node.up();
  await agent.says("rules of others");
  expect(await agent.stop()).toBe(0);
  expect(node.box.node("nft", "list", "table", "inet", "firewalld")).toBe(before);
});

test("without nft: a notice, once, and the agent is ready", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2);
  expect(tables(node)).toBe("");
  const folder = `${node.box.dir}/bin`;
  run(["mkdir", folder]);
  for (const name of run(["ls", "/usr/sbin"]).stdout.split("\n")) {
    if (/^(x?ip6?tables|ip$|bridge$)/.test(name)) run(["ln", "-s", `/usr/sbin/${name}`, `${folder}/${name}`]);
  }
  const agent = node.start({ env: { PATH: folder } });
  await agent.ready();
  await agent.says("no nft on the PATH");
  expect(agent.log()).not.toContain("rules of others");
});
