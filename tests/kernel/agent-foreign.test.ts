import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, N3, v4 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const FLANNEL = ["flannel.1", "flannel-v6.1"];

/** What flannel's VXLAN backend has on a node: a device a family, and a route to each peer by the peer's own address in it. */
function addFlannel(node: AgentNode): void {
  for (const [dev = "", local = "", own = "", ...peers] of [
    ["flannel.1", "10.9.0.1", "10.244.1.0/32", "10.244.2.0/24", "10.244.3.0/24"],
    ["flannel-v6.1", "fd09::1", "fd44:0:0:1::/128", "fd44:0:0:2::/64", "fd44:0:0:3::/64"],
  ]) {
    const vxlan = ["type", "vxlan", "id", "1", "dstport", "8472", "local", local, "nolearning"];
    node.ip("link", "add", dev, ...vxlan);
    node.ip("addr", "add", own, "dev", dev, ...(own.includes(":") ? ["nodad"] : []));
    node.ip("link", "set", dev, "up");
    for (const cidr of peers) {
      node.ip("route", "add", cidr, "via", cidr.replace(/\/.*/, ""), "dev", dev, "onlink");
    }
  }
}

const routesBy = (node: AgentNode, ...devices: readonly string[]) =>
  devices.map((dev) => [
    node.ip("-4", "route", "show", "dev", dev),
    node.ip("-6", "route", "show", "dev", dev),
  ]);

test("flannel's routes are left and reported as conflicts with their owner; ours follow when they go", async () => {
  const node = new AgentNode();
  addFlannel(node);
  const before = routesBy(node, ...FLANNEL);
  node.nodes(N1, N2, N3);
  const agent = await node.up();
  await agent.says(/warn conflicts fault="routes of others \(4\): /);
  for (const [cidr, dev] of [
    ["10.244.2.0/24", "flannel.1"],
    ["10.244.3.0/24", "flannel.1"],
    ["fd44:0:0:2::/64", "flannel-v6.1"],
    ["fd44:0:0:3::/64", "flannel-v6.1"],
  ] as const) {
    expect(agent.log()).toContain(`${cidr}: a route of protocol 3 by ${dev} is in the way (flannel's)`);
  }
  expect(agent.log()).not.toContain("not reached");
  const metrics = agent.page("/metrics");
  expect(metrics).toContain("minicni_agent_route_conflicts 4\n");
  expect(metrics).toContain('minicni_agent_peers{path="none"} 0\n');
  expect([node.routes(), routesBy(node, ...FLANNEL)]).toEqual([[], before]);
  expect(node.published()).toMatchObject({ ready: true });
  for (const dev of FLANNEL) node.ip("link", "del", dev);
  await agent.says("info conflicts cleared=true");
  await node.until("ours are there", () => node.routes().length === 4, agent);
});

test("a route by a gateway within its own destination is a conflict as well", async () => {
  const node = new AgentNode([4]);
  node.ip("route", "add", "10.244.2.1/32", "dev", "eth0");
  node.ip("route", "add", "10.244.2.0/24", "via", "10.244.2.1", "proto", "static");
  node.nodes(v4(N1), v4(N2), v4(N3));
  const agent = await node.up();
  await agent.says(
    /warn conflicts fault="routes of others: 10\.244\.2\.0\/24: a route of protocol 4 by eth0/,
  );
  expect(agent.log()).not.toContain("not reached");
  expect(node.routes()).toEqual(["10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink"]);
});

test("a pod CIDR that would take the way to a gateway of this node gets no route, and is named", async () => {
  const node = new AgentNode([4]);
  node.nodes(v4(N1), { ...v4(N2), podCidrs: ["10.9.0.128/25"] }, v4(N3));
  const agent = await node.up();
  await agent.says("n2: its pod CIDR 10.9.0.128/25 holds 10.9.0.254, a gateway of this node");
  expect(node.routes()).toEqual(["10.244.3.0/24 via 10.244.3.0 dev minicni.vxlan onlink"]);
  expect(agent.page("/metrics")).toContain('minicni_agent_peers{path="none"} 1\n');
});
