import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, v4 } from "./agent.ts";
import type { Pod } from "./sandbox.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(90_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const DEVICE = "flannel.1";
const macOf = (node: number) => `0e:00:00:00:00:0${node}`;

/** What flanneld (VXLAN, IPv4) makes of a node and leaves when it goes; nodes are 10.9.0.N with 10.244.N.0/24. */
function addFlannel(node: AgentNode, own: number, peer: number): void {
  const vxlan = ["id", "1", "local", `10.9.0.${own}`, "dstport", "8472", "nolearning"];
  node.ip("link", "add", DEVICE, "address", macOf(own), "mtu", "1450", "type", "vxlan", ...vxlan);
  node.ip("addr", "add", `10.244.${own}.0/32`, "dev", DEVICE);
  node.ip("link", "set", DEVICE, "up");
  node.ip("neigh", "add", `10.244.${peer}.0`, "lladdr", macOf(peer), "dev", DEVICE, "nud", "permanent");
  node.box.node("bridge", "fdb", "append", macOf(peer), "dev", DEVICE, "dst", `10.9.0.${peer}`);
  node.ip("route", "add", `10.244.${peer}.0/24`, "via", `10.244.${peer}.0`, "dev", DEVICE, "onlink");
}

interface Placed {
  readonly node: AgentNode;
  readonly pod: Pod;
  readonly address: string;
}

function addPod(node: AgentNode): Placed {
  const pod = node.box.pod();
  const conf = node.box.conf({ ipam: undefined, dataDir: node.box.dataDir, bridge: "minicni0" });
  const [address = ""] = addressesOf(node.box.add(pod, conf));
  return { node, pod, address };
}

const reach = (from: Placed, to: Placed) => from.node.box.pings(from.pod.netns, to.address);
const isReached = (one: Placed, other: Placed) => [reach(one, other), reach(other, one)];

test("node by node from flannel's routes to minicni's: pods reach each other all the time (docs/migration.md)", async () => {
  const first = new AgentNode([4]);
  const second = new AgentNode([4], 2, first);
  addFlannel(first, 1, 2);
  addFlannel(second, 2, 1);
  for (const node of [first, second]) {
    // A packet may come by the one way and go by the other meanwhile.
    node.box.node("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=2");
    node.nodes(v4(N1), v4(N2));
    await node.up();
  }
  const [here, there] = [addPod(first), addPod(second)];
  expect(isReached(here, there)).toEqual([true, true]);
  for (const [node, peer] of [
    [second, 1],
    [first, 2],
  ] as const) {
    node.ip("route", "flush", "dev", DEVICE, "proto", "boot");
    const own = `10.244.${peer}.0/24 via 10.9.0.${peer} dev eth0`;
    await node.until("its own route is there", () => node.routes().includes(own));
    expect(isReached(here, there)).toEqual([true, true]);
  }
  for (const node of [first, second]) node.ip("link", "del", DEVICE);
  expect(isReached(here, there)).toEqual([true, true]);
});
