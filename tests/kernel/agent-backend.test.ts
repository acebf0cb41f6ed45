import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const HINTS_ONLY = ["--resync-period", "600"];
const N4 = { name: "n4", podCidrs: ["10.244.4.0/24", "fd44:0:0:4::/64"], addresses: ["10.9.0.4", "fd09::4"] };

describe("a restart with another backend", () => {
  const changes = [
    ["auto", "host-gw"],
    ["vxlan", "host-gw"],
    ["host-gw", "vxlan"],
    ["host-gw", "auto"],
    ["vxlan", "auto"],
  ] as const;

  test.each(changes)(
    "%s to %s: as if it had been the one from the start, and no peer without a route",
    async (from, to) => {
      const node = new AgentNode();
      node.nodes(N1, N2, N4);
      await (await node.up("--backend", from)).stop();
      const log = `${node.box.dir}/monitor`;
      const watch = Bun.spawn({
        cmd: ["nsenter", `--net=${node.netns}`, "ip", "-o", "monitor", "route"],
        stdio: ["ignore", Bun.file(log), "ignore"],
      });
      try {
        await Bun.sleep(200);
        await node.up("--backend", to);
        const fresh = new AgentNode();
        fresh.nodes(N1, N2, N4);
        await fresh.up("--backend", to);
        expect(node.routes()).toEqual(fresh.routes());
        expect(node.routes()).toHaveLength(4);
        for (const dev of ["minicni.vxlan", "minicni.vxlan6"]) {
          expect(node.hasLink(dev)).toBe(to !== "host-gw");
          if (to !== "host-gw") expect(node.forwarding(dev)).toEqual(fresh.forwarding(dev));
        }
        const told = readFileSync(log, "utf8").split("\n");
        expect(told.some((line) => line.startsWith("10.244.2.0/24 "))).toBe(
          from === "vxlan" || to === "vxlan",
        );
        expect(told.filter((line) => /^Deleted (10\.244\.[24]|fd44:0:0:[24]:)/.test(line))).toEqual([]);
      } finally {
        watch.kill();
        await watch.exited;
      }
    },
  );

  test("from the last known Nodes alone removes no device", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N4);
    await (await node.up("--backend", "vxlan")).stop();
    node.box.node("rm", node.nodesFile);
    const agent = node.start({ args: ["--backend", "host-gw"] });
    await node.until(
      "direct routes",
      () => node.routes()[0] === "10.244.2.0/24 via 10.9.0.2 dev eth0",
      agent,
    );
    expect(node.hasLink("minicni.vxlan")).toBe(true);
    node.nodes(N1, N2, N4);
    await node.until("the device goes", () => !node.hasLink("minicni.vxlan"), agent);
  });
});

describe("what is somebody else's is told and left alone", () => {
  test.each([
    ["Calico's", ["via", "10.9.0.9", "proto", "80"], "10.244.2.0/24 via 10.9.0.9 dev eth0 proto 80 "],
    [
      "static: added by an administrator",
      ["via", "10.9.0.9", "proto", "static"],
      "10.244.2.0/24 via 10.9.0.9 dev eth0 proto static ",
    ],
    [
      "BGP's",
      ["via", "10.9.0.9", "proto", "186", "metric", "20"],
      "10.244.2.0/24 via 10.9.0.9 dev eth0 proto bgp metric 20 ",
    ],
    ["added by hand", ["via", "10.9.0.9"], "10.244.2.0/24 via 10.9.0.9 dev eth0 "],
  ] as const)("a route to a peer's pods (%s); ours comes when it goes", async (owner, words, shown) => {
    const node = new AgentNode();
    node.ip("route", "add", "10.244.2.0/24", ...words);
    node.nodes(N1, N2, N3);
    const agent = await node.up(...HINTS_ONLY);
    await agent.says(owner);
    await agent.says("ip route del 10.244.2.0/24");
    expect(node.ip("route", "show", "10.244.2.0/24").split("\n")).toEqual([shown, ""]);
    expect(node.routes()).toHaveLength(3);
    const metrics = agent.page("/metrics");
    expect(metrics).toContain("minicni_agent_route_conflicts 1");
    expect(metrics).toContain('minicni_agent_routes_desired{family="4"} 2');
    expect(metrics).toContain('minicni_agent_routes_programmed{family="4"} 1');
    node.ip("route", "del", "10.244.2.0/24");
    await node.until(
      "ours is there",
      () => node.routes()[0] === "10.244.2.0/24 via 10.9.0.2 dev eth0",
      agent,
    );
    await agent.says(/info conflicts cleared=true/);
  });

  test("a link by the name of our device: no route through it, not ready until it goes", async () => {
    const node = new AgentNode();
    node.ip("link", "add", "minicni.vxlan", "type", "bridge");
    node.nodes(N1, N2, N3);
    const agent = node.start({ args: HINTS_ONLY });
    await agent.says("minicni.vxlan is a bridge and no VXLAN device: remove it (ip link del minicni.vxlan)");
    await node.until("all others are there", () => node.routes().length === 3, agent);
    expect(agent.isReady()).toBe(false);
    expect(agent.page("/readyz")).toContain("minicni.vxlan is a bridge");
    expect(agent.page("/metrics")).toContain('minicni_agent_routes_programmed{family="4"} 1');
    expect(node.ip("-d", "link", "show", "minicni.vxlan")).toContain("bridge ");
    node.ip("link", "del", "minicni.vxlan");
    await agent.ready();
    expect(node.routes()).toHaveLength(4);
  });

  test("a VXLAN device with our VNI and port: what the kernel says is told, direct peers are reached", async () => {
    const node = new AgentNode([4]);
    const own = ["type", "vxlan", "id", "157", "dstport", "8472", "local", "10.9.0.1"];
    node.ip("link", "add", "flannel.157", ...own);
    const v4 = (it: typeof N1) => ({
      ...it,
      podCidrs: it.podCidrs.slice(0, 1),
      addresses: it.addresses.slice(0, 1),
    });
    node.nodes(v4(N1), v4(N2), v4(N3));
    const agent = node.start({ args: HINTS_ONLY });
    await agent.says(/steps failed.*ip link add name minicni\.vxlan/);
    await node.until("the direct peer is there", () => node.routes().length === 1, agent);
    expect(agent.page("/metrics")).toContain('minicni_agent_routes_programmed{family="4"} 1');
    expect(agent.isReady()).toBe(false);
    node.ip("link", "del", "flannel.157");
    await agent.ready();
    expect(node.routes()).toHaveLength(2);
  });
});
