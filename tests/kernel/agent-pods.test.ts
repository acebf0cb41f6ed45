import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";
import type { Json } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** A node whose pods' configuration lies where the agent finds it. */
function nodeWith(conf: (node: AgentNode) => Json): { node: AgentNode; conf: Json } {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const made = conf(node);
  const { cniVersion, name } = made;
  writeFileSync(`${node.confDir}/20-pods.conflist`, JSON.stringify({ cniVersion, name, plugins: [made] }));
  return { node, conf: made };
}

test("an attachment whose namespace is gone goes after the grace; a live pod's stays", async () => {
  const { node, conf } = nodeWith(({ box }) => box.conf({ ipMasq: true }));
  const { box } = node;
  const agent = await node.up("--leak-grace", "2");
  const [live, dead] = [box.pod(), box.pod()];
  const prevResult = box.add(live, conf);
  box.add(dead, conf);
  box.removePod(dead);
  await node.until("the dead one's is gone", () => box.records().length === 1, agent);
  await agent.says(`net1/${dead.id}/eth0`);
  expect(box.records()).toEqual([`${live.id}:eth0.json`]);
  expect(box.reservations()).toHaveLength(2);
  expect(box.call("CHECK", live, { ...conf, prevResult }).exitCode).toBe(0);
  expect(agent.page("/metrics")).toMatch(/minicni_agent_leak\w*_total 1/);
  await Bun.sleep(3_000);
  expect(box.records()).toEqual([`${live.id}:eth0.json`]);
});

test("with a grace of 0 nothing is collected", async () => {
  const { node, conf } = nodeWith(({ box }) => box.conf());
  const agent = await node.up("--leak-grace", "0");
  const dead = node.box.pod();
  node.box.add(dead, conf);
  node.box.removePod(dead);
  await Bun.sleep(4_000);
  expect(node.box.records()).toEqual([`${dead.id}:eth0.json`]);
  expect(agent.isReady()).toBe(true);
});

test("minicni0 removed by hand: its pods reach each other again, with the gateway", async () => {
  const { node, conf } = nodeWith(({ box }) => box.conf({ bridge: "minicni0" }));
  const { box } = node;
  const agent = await node.up();
  const [a, b] = [box.pod(), box.pod()];
  const addresses = [box.add(a, conf), box.add(b, conf)].map(addressesOf);
  const reach = () =>
    (addresses[1] ?? []).every((address) => box.pings(a.netns, address)) &&
    ["10.7.0.1", "fd00:7::1"].every((gateway) => box.pings(b.netns, gateway));
  await node.until("they reach each other", reach, agent);
  node.ip("link", "del", "minicni0");
  await node.until("the bridge is back", () => node.hasLink("minicni0"), agent);
  await node.until("they reach each other again", reach, agent);
  await agent.says(/info bridge cause=kernel/);
  node.ip("link", "set", "minicni0", "down");
  await node.until("and when it was set down", reach, agent);
});

test("a pod gets its addresses and MTU from what the agent published", async () => {
  const { node, conf } = nodeWith(({ box }) =>
    box.conf({ ipam: undefined, dataDir: box.dataDir, bridge: "minicni0" }),
  );
  await node.up();
  const pod = node.box.pod();
  const result = node.box.add(pod, conf);
  expect(addressesOf(result)).toEqual(["10.244.1.2", "fd44:0:0:1::2"]);
  expect(node.box.link("eth0", pod.netns).mtu).toBe(1430);
});
