import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, N3, v4 } from "./agent.ts";
import { run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/** Destinations that keep the source of pods, of both families. */
function spared({ box }: AgentNode): string[] {
  const rules = ["iptables-save", "ip6tables-save"].map((tool) => box.node(tool)).join("\n");
  return [...rules.matchAll(/^-A MINICNI-POSTROUTING -d (\S+) -j RETURN/gm)].map(([, to]) => `${to}`);
}

describe("cluster CIDRs", () => {
  test("of one family: the other one is that of the Nodes, and nothing is odd about it", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const agent = await node.up("--cluster-cidrs", "10.244.0.0/16");
    const wanted = ["10.244.0.0/16", "fd44:0:0:1::/64", "fd44:0:0:2::/63"];
    expect(node.published().clusterCidrs).toEqual(wanted);
    expect(spared(node)).toEqual(expect.arrayContaining(wanted));
    expect(agent.page("/readyz")).toContain("[+]rules ok\n");
    expect(agent.log()).not.toContain("cluster CIDRs");
  });

  test("with a typo: pods keep their sources all the same; it is told until it is right", async () => {
    const node = new AgentNode([4]);
    node.nodes(v4(N1), v4(N2), v4(N3));
    const agent = await node.up("--cluster-cidrs", "10.24.0.0/16");
    await agent.says(/warn "cluster CIDRs" fault="MINICNI_CLUSTER_CIDRS is 10\.24\.0\.0\/16, which/);
    expect(agent.page("/readyz")).toMatch(
      /\[\+\]rules ok, but: MINICNI_CLUSTER_CIDRS is .* \(3\): n1 10\.244\.1\.0\/24; n2 10\.244\.2\.0\/24; n3 .*--cluster-cidr[\s\S]*check passed/,
    );
    const wanted = ["10.24.0.0/16", "10.244.1.0/24", "10.244.2.0/23"];
    expect(node.published().clusterCidrs).toEqual(wanted);
    expect(spared(node)).toEqual(expect.arrayContaining(wanted));
    expect(node.box.node("iptables", "-S", "MINICNI-FORWARD")).toContain("-s 10.244.2.0/23 -j ACCEPT");
    const inside = (number: number) => ({ podCidrs: [`10.24.${number}.0/24`] });
    node.nodes({ ...v4(N1), ...inside(1) }, { ...v4(N2), ...inside(2) }, { ...v4(N3), ...inside(3) });
    await agent.says('info "cluster CIDRs" cleared=true');
    await node.until("no note", () => agent.page("/readyz").includes("[+]rules ok\n"), agent);
    expect(node.published().clusterCidrs).toEqual(["10.24.0.0/16"]);
  });

  test("that are everything end the agent; further destinations may be all of a family", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    const refused = node.once("--cluster-cidrs", "10.244.0.0/16,::/0");
    expect([refused.exitCode, refused.stderr]).toEqual([2, expect.stringContaining("::/0 is everything")]);
    expect(node.routes()).toEqual([]);
    const agent = await node.up("--non-masquerade-cidrs", "::/0");
    const rules = node.box.node("ip6tables", "-S", "MINICNI-FORWARD");
    expect(rules).not.toMatch(/^-A MINICNI-FORWARD -j ACCEPT$/m);
    expect(node.box.node("ip6tables", "-t", "nat", "-S", "MINICNI-POSTROUTING")).toMatch(
      /^-A MINICNI-POSTROUTING -j RETURN$/m,
    );
    expect(spared(node)).toContain("10.244.1.0/24");
    expect(agent.log()).not.toContain("warn rules");
  });
});

describe("a single pass that can't write", () => {
  const obstacles: readonly (readonly [string, (node: AgentNode) => void, string])[] = [
    [
      "a read-only folder of configurations",
      (node) => {
        node.box.mountTmpfs(node.confDir, "size=64k");
        run(["mount", "-o", "remount,ro", node.confDir]);
      },
      "10-minicni.conflist",
    ],
    [
      "a folder by the conflist's name",
      (node) => node.box.node("mkdir", node.conflist),
      "10-minicni.conflist",
    ],
    ["a folder by node.json's name", (node) => node.box.node("mkdir", "-p", node.nodeJson), "node.json"],
  ];
  test.each(obstacles)("%s: exit 1, and told; all the rest is done", (_what, put, file) => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    put(node);
    const done = node.once();
    expect(done.stderr).toMatch(new RegExp(`warn published .*${file} can't be written`));
    expect(done.exitCode).toBe(1);
    expect(node.routes()).toHaveLength(4);
  });
});
