import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

// Only what no event tells of may need the timer.
const HINTS_ONLY = ["--resync-period", "600"];

async function started(...args: string[]): Promise<{ node: AgentNode; agent: Agent; before: string }> {
  const node = new AgentNode();
  node.nodes(N1, N2, N3);
  const agent = await node.up(...args);
  return { node, agent, before: node.kernel() };
}

/** Without what a device that is made again has another one of, and in whatever order the kernel keeps it. */
function shape(kernel: string): string[] {
  return kernel
    .split("\n")
    .map((line) => line.replace(/^\d+: /, "").trim())
    .sort();
}

/** What is done behind the agent's back; each is found by an event. */
const TOLD: Readonly<Record<string, readonly string[]>> = {
  "a direct route is removed": ["ip route del 10.244.2.0/24"],
  "a tunnelled route is removed": ["ip -6 route del fd44:0:0:3::/64"],
  "all of our routes are flushed": ["ip route flush proto 157", "ip -6 route flush proto 157"],
  "a route is led elsewhere": ["ip route change 10.244.2.0/24 via 10.9.0.9 proto 157"],
  "a device is removed": ["ip link del minicni.vxlan"],
  "both devices are removed": ["ip link del minicni.vxlan", "ip link del minicni.vxlan6"],
  "a device is set down": ["ip link set minicni.vxlan down", "ip link set minicni.vxlan6 down"],
  "a device loses its address": ["ip addr del 10.244.1.0/32 dev minicni.vxlan"],
  "a device gets another address": ["ip addr add 10.77.0.1/32 dev minicni.vxlan"],
  "a device's MAC is changed": ["ip link set minicni.vxlan address 02:00:00:00:00:01"],
  "a device's MTU is changed": ["ip link set minicni.vxlan mtu 1400"],
  "a device is replaced by one with another VNI": [
    "ip link add spare type vxlan id 5 dstport 8472 local 10.9.0.1",
    // At once, or the agent comes between.
    "printf 'link del minicni.vxlan\nlink set spare name minicni.vxlan\n' | ip -batch -",
  ],
  "the uplink goes down and up": [
    "ip link set eth0 down",
    "ip link set eth0 up",
    "ip addr add fe80::1/64 dev eth0 nodad",
    "ip route add default via 10.9.0.254",
    "ip -6 route add default via fd09::fe",
  ],
};

/** No event tells of these: the timer finds them. */
const UNTOLD: Readonly<Record<string, readonly string[]>> = {
  "a forwarding entry is removed": ["bridge fdb del 0e:a8:3f:e6:a8:39 dev minicni.vxlan dst 10.8.0.3"],
  "a forwarding entry is changed": ["bridge fdb replace 0e:a8:3f:e6:a8:39 dev minicni.vxlan dst 10.8.0.99"],
  "a forwarding entry to nowhere appears": [
    "bridge fdb append 02:00:00:00:00:01 dev minicni.vxlan dst 10.8.0.99",
  ],
  "a neighbour is removed": ["ip neigh del 10.244.3.0 dev minicni.vxlan"],
  "a neighbour gets another MAC": [
    "ip neigh replace 10.244.3.0 lladdr 02:00:00:00:00:01 dev minicni.vxlan nud permanent",
  ],
  "forwarding is switched off": [
    "sysctl -qw net.ipv4.ip_forward=0",
    "sysctl -qw net.ipv6.conf.all.forwarding=0",
  ],
  "all rules are flushed": ["iptables -F", "iptables -X", "iptables -t nat -F", "iptables -t nat -X"],
};

async function isRepaired(commands: readonly string[], args: readonly string[]): Promise<void> {
  const { node, agent, before } = await started(...args);
  for (const command of commands) node.box.node("sh", "-c", command);
  await node
    .until("it is as before", () => Bun.deepEquals(shape(node.kernel()), shape(before)), agent)
    .catch((error) => {
      expect(shape(node.kernel())).toEqual(shape(before));
      throw error;
    });
  // Rules are back in the kernel a moment before the pass that put them there has counted them.
  const isCounted = () => /repairs_total\{.*cause="kernel"\} [1-9]/.test(agent.page("/metrics"));
  await node.until("it is counted", isCounted, agent);
  await agent.ready();
}

describe("within moments all is as before when", () => {
  test.each(Object.entries(TOLD))("%s", (_what, commands) => isRepaired(commands, HINTS_ONLY));
});

describe("within a period all is as before when", () => {
  test.each(Object.entries(UNTOLD))("%s", (_what, commands) => isRepaired(commands, []));
});

test("the uplink's MTU changes: tunnels and node.json follow", async () => {
  const { node, agent } = await started();
  node.ip("link", "set", "eth0", "mtu", "1400");
  await node.until("node.json follows", () => node.published().mtu === 1330, agent);
  expect(node.ip("link", "show", "minicni.vxlan")).toContain("mtu 1350 ");
  expect(node.ip("link", "show", "minicni.vxlan6")).toContain("mtu 1330 ");
  node.ip("link", "set", "eth0", "mtu", "1500");
  await node.until("and back", () => node.published().mtu === 1430, agent);
});

test("a policy rule, or a route to a peer's address, changes how the peer is reached", async () => {
  const { node, agent } = await started(...HINTS_ONLY);
  const via = () => node.routes().find((line) => line.startsWith("10.244.2.0/24"));
  node.ip("route", "add", "10.9.0.2/32", "via", "10.9.0.254", "table", "100");
  node.ip("rule", "add", "to", "10.9.0.2/32", "lookup", "100");
  await node.until("through the tunnel", () => via()?.includes("minicni.vxlan") === true, agent);
  node.ip("rule", "del", "to", "10.9.0.2/32", "lookup", "100");
  await node.until("directly again", () => via() === "10.244.2.0/24 via 10.9.0.2 dev eth0", agent);
  node.ip("route", "add", "10.9.0.2/32", "via", "10.9.0.254");
  await node.until("through the tunnel", () => via()?.includes("minicni.vxlan") === true, agent);
});

test("without its monitor the agent still finds everything by the timer, says so, and gets it back", async () => {
  const { node, agent } = await started();
  const monitor = node.box.node("pgrep", "-P", String(agent.pid), "-x", "ip").trim();
  node.box.node("kill", "-KILL", monitor);
  await agent.says("changes in the kernel are found by the timer alone");
  node.ip("route", "flush", "proto", "157");
  await node.until("the routes are back", () => node.routes().length === 4, agent);
  await agent.says(/info monitor cleared=true/);
  expect(node.box.node("pgrep", "-P", String(agent.pid), "-x", "ip").trim()).not.toBe(monitor);
});
