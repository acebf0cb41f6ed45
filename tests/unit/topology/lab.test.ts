import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { HOST } from "../../../src/plan/step.ts";
import {
  describeLab,
  LAB_ROUTER,
  LAB_SWITCH,
  type LabRange,
  labNetns,
  netnsPath,
  planLab,
  routerAddresses,
  type UnderlayRange,
} from "../../../src/topology/lab.ts";
import { address, prefix, thrown } from "../../twin/words.ts";

const range = (network: string, length: number, step: bigint): LabRange => ({
  network: address(network),
  length,
  step,
});
const UNDERLAY: UnderlayRange[] = [
  { ...range("172.31.9.0", 24, 1n), subnetStep: -256n },
  { ...range("fd31::", 64, 1n), subnetStep: 1n << 64n },
];
const CLUSTER = [range("10.244.0.0", 24, 256n), range("fd00:244::", 64, 1n << 64n)];
const describe2 = (nodes: number, subnets: number) => describeLab({ nodes, subnets }, UNDERLAY, CLUSTER);

describe("describeLab", () => {
  test("gives each node its part of every range", () => {
    expect(describe2(2, 1)).toEqual({
      nodes: [
        {
          name: "node1",
          addresses: [address("172.31.9.1"), address("fd31::1")],
          podCidrs: [prefix("10.244.1.0/24"), prefix("fd00:244:0:1::/64")],
        },
        {
          name: "node2",
          addresses: [address("172.31.9.2"), address("fd31::2")],
          podCidrs: [prefix("10.244.2.0/24"), prefix("fd00:244:0:2::/64")],
        },
      ],
      subnets: [
        {
          name: "subnet1",
          networks: [prefix("172.31.9.0/24"), prefix("fd31::/64")],
          nodes: ["node1", "node2"],
        },
      ],
    });
  });

  test("spreads the nodes over the subnets in blocks, none left empty", () => {
    const names = (nodes: number, subnets: number) =>
      describe2(nodes, subnets).subnets.map((subnet) => subnet.nodes.join(" "));
    expect(names(3, 2)).toEqual(["node1 node2", "node3"]);
    expect(names(4, 4)).toEqual(["node1", "node2", "node3", "node4"]);
    expect(names(5, 3)).toEqual(["node1 node2", "node3 node4", "node5"]);
  });

  test("numbers a node alike in whatever subnet it is", () => {
    const { nodes, subnets } = describe2(2, 2);
    expect(nodes[1]?.addresses).toEqual([address("172.31.8.2"), address("fd31:0:0:1::2")]);
    expect(subnets[1]?.networks).toEqual([prefix("172.31.8.0/24"), prefix("fd31:0:0:1::/64")]);
    expect(subnets.flatMap(routerAddresses)).toEqual(
      ["172.31.9.254/24", "fd31::fe/64", "172.31.8.254/24", "fd31:0:0:1::fe/64"].map(prefix),
    );
  });

  test("has one family when its ranges do", () => {
    const { nodes, subnets } = describeLab({ nodes: 1, subnets: 1 }, UNDERLAY.slice(1), CLUSTER.slice(1));
    expect(nodes).toEqual([
      { name: "node1", addresses: [address("fd31::1")], podCidrs: [prefix("fd00:244:0:1::/64")] },
    ]);
    expect(subnets[0]?.networks).toEqual([prefix("fd31::/64")]);
  });

  test("refuses a part beyond the family's space", () => {
    const end = range("255.255.255.0", 24, 256n);
    expect(thrown(() => describeLab({ nodes: 1, subnets: 1 }, [], [end]))).toMatchObject({
      name: "RangeError",
      message: "the lab's range is too small for its nodes",
    });
  });
});

test("labNetns marks every namespace as the lab's", () => {
  expect([labNetns("node1"), labNetns("node1", "pod2")]).toEqual(["mclab-node1", "mclab-node1-pod2"]);
  expect(netnsPath("mclab-node1")).toBe("/run/netns/mclab-node1");
});

const SWITCH = "nsenter --net=/run/netns/mclab-switch";
const NODE = "nsenter --net=/run/netns/mclab-node1";

describe("planLab", () => {
  test("makes a switch and a node", () => {
    expect(formatPlan(planLab(describe2(1, 1), null))).toBe(`# the underlay switch, in a namespace of its own
ip netns add mclab-switch
# the virtual nodes
ip netns add mclab-node1
# the underlay switch
${SWITCH} ip link add name subnet1 type bridge
${SWITCH} ip link set dev subnet1 up
# node1: strict reverse path filter, as many distributions have
${NODE} sysctl -w net.ipv4.conf.all.rp_filter=1
${NODE} sysctl -w net.ipv4.conf.default.rp_filter=1
# node1: cable to the underlay
${NODE} ip link set dev lo up
${NODE} ip link add name eth0 type veth peer name node1 netns /run/netns/mclab-switch
${NODE} sysctl -w net.ipv6.conf.eth0.accept_dad=0
${NODE} ip addr replace 172.31.9.1/24 dev eth0
${NODE} ip addr replace fd31::1/64 dev eth0 nodad
${NODE} ip link set dev eth0 up
${SWITCH} ip link set dev node1 master subnet1 up
# node1: FORWARD drops, as on a host with Docker
${NODE} iptables-restore --noflush -w 10 <<'EOF'
*filter
:FORWARD DROP [0:0]
COMMIT
EOF
${NODE} ip6tables-restore --noflush -w 10 <<'EOF'
*filter
:FORWARD DROP [0:0]
COMMIT
EOF
`);
  });

  const routed = planLab(describe2(3, 2), null);
  const text = formatPlan(routed);

  test("puts a router between subnets, which forwards and has no route of its own", () => {
    const router = text
      .split("\n")
      .filter((line) => line.startsWith("nsenter --net=/run/netns/mclab-router "));
    expect(router.map((line) => line.slice(line.indexOf("router ") + "router ".length))).toEqual([
      "sysctl -w net.ipv4.ip_forward=1",
      "sysctl -w net.ipv6.conf.all.forwarding=1",
      ...[
        { subnet: 1, v4: "172.31.9.254/24", v6: "fd31::fe/64" },
        { subnet: 2, v4: "172.31.8.254/24", v6: "fd31:0:0:1::fe/64" },
      ].flatMap(({ subnet, v4, v6 }) => [
        `ip link add name subnet${subnet} type veth peer name router-subnet${subnet} netns /run/netns/mclab-switch`,
        `sysctl -w net.ipv6.conf.subnet${subnet}.accept_dad=0`,
        `ip addr replace ${v4} dev subnet${subnet}`,
        `ip addr replace ${v6} dev subnet${subnet} nodad`,
        `ip link set dev subnet${subnet} up`,
      ]),
    ]);
  });

  test("plugs each node into its subnet's bridge and sends it by the router", () => {
    expect(text).toContain(`${SWITCH} ip link set dev node2 master subnet1 up`);
    expect(text).toContain(`${SWITCH} ip link set dev node3 master subnet2 up`);
    expect(text).toContain(`${NODE} ip route replace 0.0.0.0/0 via 172.31.9.254 dev eth0`);
    expect(text).toContain(`${NODE} ip route replace ::/0 via fd31::fe dev eth0`);
    expect(text).toContain("mclab-node3 ip route replace 0.0.0.0/0 via 172.31.8.254 dev eth0");
  });

  test("sets the MTU at both ends of every cable", () => {
    const links = planLab(describe2(2, 2), 9000).flatMap((step) =>
      step.op === "link.add" && step.link.kind === "veth" ? [step.link] : [],
    );
    expect(links.map(({ mtu, peer }) => [mtu, peer.mtu])).toEqual(new Array(4).fill([9000, 9000]));
  });

  test("does nothing in the machine's own namespace but add namespaces of the lab", () => {
    const here = routed.filter(({ netns }) => netns === HOST);
    expect(here.map((step) => (step.op === "netns.add" ? step.name : step.op))).toEqual([
      LAB_SWITCH,
      LAB_ROUTER,
      ...["mclab-node1", "mclab-node2", "mclab-node3"],
    ]);
    expect(routed.filter(({ netns }) => netns !== HOST && !netns.startsWith("/run/netns/mclab-"))).toEqual(
      [],
    );
  });

  test("takes back the namespaces, and with them all that is inside", () => {
    expect(routed.flatMap(({ undo }) => undo ?? [])).toEqual(
      [LAB_SWITCH, LAB_ROUTER, "mclab-node1", "mclab-node2", "mclab-node3"].map((name) => ({
        op: "netns.del",
        name,
      })),
    );
  });
});
