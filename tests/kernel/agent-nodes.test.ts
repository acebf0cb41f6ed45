import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3, type NodeWords, v4 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

// The timer must not be what finds it.
const SLOW = ["--resync-period", "600"];

async function started(...nodes: NodeWords[]): Promise<{ node: AgentNode; agent: Agent }> {
  const node = new AgentNode();
  node.nodes(...nodes);
  return { node, agent: await node.up(...SLOW) };
}

async function becomes(node: AgentNode, agent: Agent, see: () => unknown, wanted: unknown): Promise<void> {
  await node
    .until("it follows", () => Bun.deepEquals(see(), wanted), agent)
    .catch((error) => {
      expect(see()).toEqual(wanted);
      throw error;
    });
}

const MAC2 = "0e:43:f3:c9:21:88";
const MAC3 = "0e:a8:3f:e6:a8:39";

describe("without a restart an agent follows peers that", () => {
  test("come and go", async () => {
    const { node, agent } = await started(v4(N1));
    expect(node.routes()).toEqual([]);
    node.nodes(v4(N1), v4(N2), v4(N3));
    await becomes(node, agent, () => node.routes(), [
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
    ]);
    expect(node.forwarding()).toEqual([`${MAC3} dst 10.8.0.3 self permanent`]);
    node.nodes(v4(N1), v4(N2));
    await becomes(node, agent, () => node.routes(), ["10.244.2.0/24 via 10.9.0.2 dev eth0"]);
    await becomes(node, agent, () => [...node.forwarding(), ...node.neighbours()], []);
    expect(agent.page("/metrics")).toContain('minicni_agent_peers{path="direct"} 1');
  });

  test("get another pod CIDR or address, or a second family", async () => {
    const { node, agent } = await started(N1, v4(N2), v4(N3));
    node.nodes(
      N1,
      { ...N2, podCidrs: ["10.244.22.0/24", "fd44:0:0:2::/64"] },
      { ...N3, podCidrs: ["10.244.33.0/24"], addresses: ["10.8.0.33"] },
    );
    await becomes(node, agent, () => node.routes(), [
      "10.244.22.0/24 via 10.9.0.2 dev eth0",
      "10.244.33.0/24 via 10.244.33.0 dev minicni.vxlan onlink",
      "fd44:0:0:2::/64 via fd09::2 dev eth0",
    ]);
    await becomes(node, agent, () => node.forwarding(), [`${MAC3} dst 10.8.0.33 self permanent`]);
    await becomes(node, agent, () => node.neighbours(), [`10.244.33.0 lladdr ${MAC3} PERMANENT`]);
    // Behind the router until now, on the link from now on.
    node.nodes(N1, v4({ ...N3, addresses: ["10.9.0.3"] }));
    await becomes(node, agent, () => node.routes(), ["10.244.3.0/24 via 10.9.0.3 dev eth0"]);
    await becomes(node, agent, () => [...node.forwarding(), ...node.neighbours()], []);
  });

  test.each(["host-gw", "vxlan"])("swap their pod CIDRs (%s)", async (backend) => {
    const node = new AgentNode();
    const other = { name: "n4", podCidrs: ["10.244.4.0/24"], addresses: ["10.9.0.4"] };
    node.nodes(v4(N1), v4(N2), other);
    const agent = await node.up(...SLOW, "--backend", backend);
    const see = () => (backend === "vxlan" ? node.neighbours() : node.routes());
    const before = see();
    node.nodes(v4(N1), { ...v4(N2), podCidrs: other.podCidrs }, { ...other, podCidrs: v4(N2).podCidrs });
    await becomes(
      node,
      agent,
      see,
      backend === "vxlan"
        ? [`10.244.2.0 lladdr 0e:cb:5a:51:bf:28 PERMANENT`, `10.244.4.0 lladdr ${MAC2} PERMANENT`]
        : ["10.244.2.0/24 via 10.9.0.4 dev eth0", "10.244.4.0/24 via 10.9.0.2 dev eth0"],
    );
    expect(before).toHaveLength(2);
    expect(node.routes()).toHaveLength(2);
  });
});

describe("without a restart an agent follows itself", () => {
  test("another pod CIDR: device, rules and node.json", async () => {
    const { node, agent } = await started(N1, N2, N3);
    const podCidrs = ["10.244.11.0/24", "fd44:0:0:11::/64"];
    node.nodes({ ...N1, podCidrs }, N2, N3);
    const own = (dev: string) => /inet6? (\S+)/.exec(node.ip("-o", "addr", "show", "dev", dev))?.[1];
    await becomes(node, agent, () => [own("minicni.vxlan"), own("minicni.vxlan6")], [
      "10.244.11.0/32",
      "fd44:0:0:11::/128",
    ]);
    await becomes(node, agent, () => node.published().podCidrs, podCidrs);
    for (const [tool, was, is] of [
      ["iptables-save", N1.podCidrs[0], podCidrs[0]],
      ["ip6tables-save", N1.podCidrs[1], podCidrs[1]],
    ] as const) {
      const rules = node.box.node(tool);
      expect(rules).toContain(`${is}`);
      expect(rules).not.toContain(`-s ${was}`);
    }
    expect(node.routes()).toHaveLength(4);
  });

  test("another address: the device is made again, and all of its peers with it", async () => {
    const { node, agent } = await started(N1, N2, N3);
    node.ip("addr", "add", "10.9.0.11/24", "dev", "eth0");
    node.nodes({ ...N1, addresses: ["10.9.0.11", "fd09::1"] }, N2, N3);
    await node.until("a device from there", () => /local 10\.9\.0\.11 /.test(node.kernel()), agent);
    await becomes(node, agent, () => node.routes(), [
      "10.244.2.0/24 via 10.9.0.2 dev eth0",
      "10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink",
      "fd44:0:0:2::/64 via fd09::2 dev eth0",
      "fd44:0:0:3::/64 via fe80::ca8:3fff:fee6:a839 dev minicni.vxlan6 onlink",
    ]);
    expect(node.forwarding()).toEqual([`${MAC3} dst 10.8.0.3 self permanent`]);
    expect(node.neighbours()).toEqual([`10.244.3.0 lladdr ${MAC3} PERMANENT`]);
    node.ip("addr", "del", "10.9.0.11/24", "dev", "eth0");
    await agent.says("InternalIP 10.9.0.11 of this Node is on no link of this machine");
  });

  test("our own Node goes: it is told, nothing is removed, and pods go on; it comes back", async () => {
    const { node, agent } = await started(N1, N2, N3);
    const before = [node.kernel(), node.published()];
    node.nodes(N2, N3);
    await agent.says("Node n1 is not among the 2 Nodes");
    await node.until("it is not ready", () => !agent.isReady(), agent);
    expect([node.kernel(), node.published()]).toEqual(before);
    node.nodes({ ...N1, podCidrs: [] }, N2, N3);
    await agent.says("Node n1 has no pod CIDR (spec.podCIDRs is []): see --allocate-node-cidrs");
    expect([node.kernel(), node.published()]).toEqual(before);
    node.nodes(N1, N2, N3);
    await agent.ready();
  });
});
