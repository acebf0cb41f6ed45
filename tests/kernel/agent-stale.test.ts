import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3, nodeItem } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const OURS = ["proto", "157"];
const GONE = {
  name: "n9",
  podCidrs: ["10.244.9.0/24", "fd44:0:0:9::/64"],
  addresses: ["10.8.0.9", "fd08::9"],
};

/** What an agent of before left of peers that went while it was down, and of itself. */
function leaveStale(node: AgentNode): void {
  node.ip("route", "add", "10.244.20.0/24", "via", "10.9.0.20", ...OURS);
  node.ip("route", "add", "10.244.21.0/24", "dev", "eth0", "metric", "50", ...OURS);
  node.ip("route", "add", "blackhole", "10.244.22.0/24", ...OURS);
  node.ip("-6", "route", "add", "fd44:0:0:20::/64", "via", "fd09::20", ...OURS);
  node.ip("-6", "route", "add", "blackhole", "fd44:0:0:22::/64", ...OURS);
}

const FOREIGN = ["4", "16", "80", "186", "boot"];

function addForeign(node: AgentNode): string[] {
  for (const [index, protocol] of FOREIGN.entries()) {
    node.ip("route", "add", `10.20.${index}.0/24`, "via", "10.9.0.2", "proto", protocol);
    node.ip("-6", "route", "add", `fd20:0:0:${index}::/64`, "via", "fd09::2", "proto", protocol);
  }
  // None is named: what `ip route add` does by hand.
  node.ip("route", "add", "10.20.99.0/24", "via", "10.9.0.2");
  // Ours by number, but in a table of somebody else.
  node.ip("route", "add", "10.20.98.0/24", "via", "10.9.0.2", "table", "100", ...OURS);
  return foreign(node);
}

function foreign(node: AgentNode): string[] {
  const all = [
    node.ip("-4", "route", "show", "table", "all"),
    node.ip("-6", "route", "show", "table", "all"),
  ];
  return all.flatMap((text) => text.split("\n").filter((line) => /^(10\.20|fd20)/.test(line)));
}

async function passes(agent: Agent): Promise<void> {
  const count = () =>
    Number(/duration_seconds_count\{part="total"\} (\d+)/.exec(agent.page("/metrics"))?.[1] ?? 0);
  const before = count();
  for (let tries = 0; count() < before + 2 && tries < 200; tries++) await Bun.sleep(50);
  expect(count()).toBeGreaterThanOrEqual(before + 2);
}

test("routes, tunnel entries and gateways of before go at the start; nothing foreign does", async () => {
  const node = new AgentNode();
  node.nodes(N1, N2, N3, GONE);
  expect(node.once().exitCode).toBe(0);
  expect(node.forwarding()).toHaveLength(2);
  leaveStale(node);
  node.ip("route", "change", "10.244.2.0/24", "via", "10.9.0.77", ...OURS);
  node.ip("route", "add", "10.244.2.0/24", "via", "10.9.0.78", "metric", "7", ...OURS);
  const before = addForeign(node);
  expect(before).toHaveLength(12);
  node.nodes(N1, N2, N3);
  await node.up();
  expect(node.routes()).toEqual([
    "10.244.2.0/24 via 10.9.0.2 dev eth0",
    "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
    "fd44:0:0:2::/64 via fd09::2 dev eth0",
    "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink",
  ]);
  for (const [dev, entry] of [
    ["minicni.vxlan", "dst 10.8.0.3"],
    ["minicni.vxlan6", "dst fd08::3"],
  ] as const) {
    expect(node.forwarding(dev)).toEqual([expect.stringContaining(entry)]);
    expect(node.neighbours(dev)).toHaveLength(1);
  }
  expect(foreign(node)).toEqual(before);
});

describe("nothing is removed", () => {
  async function prepared() {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const first = await node.up();
    await first.stop();
    leaveStale(node);
    return { node, before: node.kernel() };
  }

  const lists: readonly (readonly [string, string | null, RegExp])[] = [
    [
      "a list without a Node",
      JSON.stringify({ kind: "NodeList", items: [] }),
      /Node n1 is not among the 0 Nodes/,
    ],
    [
      "a list without our own Node",
      JSON.stringify({ kind: "NodeList", items: [nodeItem(N2)] }),
      /Node n1 is not among the 1 Nodes/,
    ],
    [
      "a torn list",
      JSON.stringify({ kind: "NodeList", items: [nodeItem(N1), nodeItem(N2)] }).slice(0, -40),
      /nodes\.json/,
    ],
    ["an empty file", "", /nodes\.json/],
    ["something else", '{"kind":"PodList","items":[]}', /nodes\.json/],
    ["no file, but the last known Nodes", null, /last known Nodes on disk/],
  ];

  test.each(lists)("on %s", async (_what, text, told) => {
    const { node, before } = await prepared();
    if (text === null) node.box.node("rm", node.nodesFile);
    else writeFileSync(node.nodesFile, text);
    const agent = node.start();
    await agent.says(told);
    await Bun.sleep(2_500);
    expect(node.kernel()).toBe(before);
    expect(agent.isReady()).toBe(false);
    // And all of it goes once the list is whole.
    node.nodes(N1, N2, N3);
    await node.until("what is stale goes", () => node.routes().length === 4, agent);
    await agent.ready();
  });

  test("of a list that has lost most peers, while what is new is added", async () => {
    const node = new AgentNode();
    const peers = Array.from({ length: 24 }, (_, index) => ({
      name: `p${index}`,
      podCidrs: [`10.244.${100 + index}.0/24`],
      addresses: [`10.9.0.${100 + index}`],
    }));
    node.nodes(N1, ...peers);
    const agent = await node.up();
    expect(node.routes()).toHaveLength(24);
    // Many routes of others must not make ours look few.
    for (let index = 0; index < 60; index++)
      node.ip("route", "add", `10.30.${index}.0/24`, "via", "10.9.0.2");
    node.nodes(N1, N2, ...peers.slice(0, 4));
    await agent.says("20 routes of ours that no Node accounts for are left");
    await passes(agent);
    expect(node.routes()).toHaveLength(26);
    expect(agent.isReady()).toBe(true);
    node.nodes(N1, N2, ...peers.slice(0, 14));
    await node.until("the few that are gone are removed", () => node.routes().length === 16, agent);
  });
});
