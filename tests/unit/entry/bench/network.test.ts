import { describe, expect, test } from "bun:test";
import { iperfClientArgv, iperfServerArgv, parseIperf } from "../../../../src/entry/bench/network/iperf.ts";
import { PLAIN_NAMESPACES, plainAddress, planPlain } from "../../../../src/entry/bench/network/plain.ts";
import { parseProbe, probeArgv } from "../../../../src/entry/bench/network/probe.ts";
import { refuseSecondLab } from "../../../../src/entry/lab/up.ts";
import { createHost } from "../../../../src/host/linux.ts";
import type { Host } from "../../../../src/host/machine.ts";
import { parseProcessors } from "../../../../src/host/processors.ts";
import { formatPlan } from "../../../../src/plan/format.ts";
import type { Plan } from "../../../../src/plan/step.ts";

const LAB = '{"backend": "vxlan", "subnets": [], "pods": []}';
const netns = (name: string) => `/run/netns/${name}`;
/** A plan with the names of namespaces in front in place of nsenter. */
const told = (plan: Plan) => formatPlan(plan).replace(/^nsenter --net=\/run\/netns\/(\S+) /gm, "$1: ");
const SIZES = { pod: 1450, bridge: 1450, underlay: 1500, tunnel: 1450 };

const HOST_GW = `# the switch between the nodes
switch: ip link add name switch mtu 1500 type bridge
switch: ip link set dev switch up
# node1: its link to the other node, and its bridge
node1: sysctl -w net.ipv4.conf.all.rp_filter=1
node1: sysctl -w net.ipv4.conf.default.rp_filter=1
node1: sysctl -w net.ipv6.conf.default.accept_dad=0
node1: sysctl -w net.ipv4.ip_forward=1
node1: sysctl -w net.ipv6.conf.all.forwarding=1
node1: ip link add name eth0 mtu 1500 type veth peer name node1 mtu 1500 netns /run/netns/switch
node1: ip addr replace 192.0.2.1/24 dev eth0
node1: ip link set dev eth0 up
switch: ip link set dev node1 master switch up
node1: ip link add name br0 mtu 1500 type bridge
node1: ip addr replace 10.244.1.1/24 dev br0
node1: ip link set dev br0 up
# a pod: veth, address, default route
node1: ip link add name pod1 mtu 1500 type veth peer name eth0 mtu 1500 netns /run/netns/node1-pod1
node1: ip link set dev pod1 master br0 up
node1-pod1: ip addr replace 10.244.1.2/24 dev eth0
node1-pod1: ip link set dev eth0 up
node1-pod1: ip route replace 0.0.0.0/0 via 10.244.1.1 dev eth0
node1: ip link add name pod2 mtu 1500 type veth peer name eth0 mtu 1500 netns /run/netns/node1-pod2
node1: ip link set dev pod2 master br0 up
node1-pod2: ip addr replace 10.244.1.3/24 dev eth0
node1-pod2: ip link set dev eth0 up
node1-pod2: ip route replace 0.0.0.0/0 via 10.244.1.1 dev eth0
# the other node's pods by its address
node1: ip route replace 10.244.2.0/24 via 192.0.2.2 dev eth0
# node2: its link to the other node, and its bridge
node2: sysctl -w net.ipv4.conf.all.rp_filter=1
node2: sysctl -w net.ipv4.conf.default.rp_filter=1
node2: sysctl -w net.ipv6.conf.default.accept_dad=0
node2: sysctl -w net.ipv4.ip_forward=1
node2: sysctl -w net.ipv6.conf.all.forwarding=1
node2: ip link add name eth0 mtu 1500 type veth peer name node2 mtu 1500 netns /run/netns/switch
node2: ip addr replace 192.0.2.2/24 dev eth0
node2: ip link set dev eth0 up
switch: ip link set dev node2 master switch up
node2: ip link add name br0 mtu 1500 type bridge
node2: ip addr replace 10.244.2.1/24 dev br0
node2: ip link set dev br0 up
# a pod: veth, address, default route
node2: ip link add name pod1 mtu 1500 type veth peer name eth0 mtu 1500 netns /run/netns/node2-pod1
node2: ip link set dev pod1 master br0 up
node2-pod1: ip addr replace 10.244.2.2/24 dev eth0
node2-pod1: ip link set dev eth0 up
node2-pod1: ip route replace 0.0.0.0/0 via 10.244.2.1 dev eth0
# the other node's pods by its address
node2: ip route replace 10.244.1.0/24 via 192.0.2.1 dev eth0
`;

const TUNNEL = `# the other node's pods through a tunnel
node1: ip link add name vxlan0 mtu 1450 address 0e:90:b6:cb:9d:b5 type vxlan id 42 dstport 4789 local 2001:db8::1 nolearning
node1: ip link set dev vxlan0 up
node1: ip addr replace fd00:10:244:1::/128 dev vxlan0 nodad
node1: bridge fdb replace 0e:a6:87:9f:56:79 dev vxlan0 dst 2001:db8::2 self permanent
node1: ip neigh replace fd00:10:244:2:: dev vxlan0 lladdr 0e:a6:87:9f:56:79 nud permanent
node1: ip route replace fd00:10:244:2::/64 via fd00:10:244:2:: dev vxlan0 onlink
node2: ip link add name vxlan0 mtu 1450 address 0e:a6:87:9f:56:79 type vxlan id 42 dstport 4789 local 2001:db8::2 nolearning
node2: ip link set dev vxlan0 up
node2: ip addr replace fd00:10:244:2::/128 dev vxlan0 nodad
node2: bridge fdb replace 0e:90:b6:cb:9d:b5 dev vxlan0 dst 2001:db8::1 self permanent
node2: ip neigh replace fd00:10:244:1:: dev vxlan0 lladdr 0e:90:b6:cb:9d:b5 nud permanent
node2: ip route replace fd00:10:244:1::/64 via fd00:10:244:1:: dev vxlan0 onlink
`;

describe("iperf3's report", () => {
  const report = (end: unknown, rest = {}) => JSON.stringify({ start: {}, intervals: [], end, ...rest });

  test("gives the throughput that the receiver saw, in Mbit/s", () => {
    const end = {
      sum_sent: { bits_per_second: 12e9 },
      sum_received: { bits_per_second: 11_996_200_000, bytes: 1 },
    };
    expect(parseIperf(report(end))).toBe(11_996.2);
  });

  test.each(["Connection refused", "Connection timed out"])(
    "is no report while there is no server: %s",
    (why) => {
      expect(parseIperf(report({}, { error: `unable to connect to server: ${why}` }))).toBeNull();
    },
  );

  test.each([
    [report({}, { error: "unable to connect to server: Network is unreachable" }), "Network is unreachable"],
    [report({}, { error: "the server is busy running a test. try again later" }), "the server is busy"],
    [report({}), "no throughput"],
    [report({ sum_received: { bits_per_second: 0 } }), "no throughput"],
    ["", "no throughput"],
    ["iperf3: unrecognized option '--json'", "unrecognized option"],
  ])("is refused with its own words: %#", (text, words) => {
    expect(() => parseIperf(text)).toThrow(words);
  });

  test("is asked for with both ends bounded in time, in the path's family", () => {
    const place = { address: "fd00::2", family: 6, port: 5201 } as const;
    const request = { ...place, seconds: 1, processor: 3, congestion: "cubic" };
    expect(iperfServerArgv(request).join(" ")).toBe(
      "timeout -s KILL 9 iperf3 --server --one-off -6 --bind fd00::2 --port 5201",
    );
    expect(iperfClientArgv(request).join(" ")).toBe(
      "timeout -s KILL 9 iperf3 --client fd00::2 -6 --port 5201 --time 1 --json --connect-timeout 1000 --affinity 3,3 --congestion cubic",
    );
  });
});

describe("a probe", () => {
  test("is one command line for each end", () => {
    const options = { role: "server", address: "10.0.0.2", port: 7, what: "udp", milliseconds: 400 } as const;
    expect(probeArgv(["minicni", "bench", "probe"], options).join(" ")).toBe(
      "minicni bench probe --role server --address 10.0.0.2 --port 7 --what udp --milliseconds 400",
    );
  });

  test("tells median and 95th percentile", () => {
    expect(parseProbe('{"count":3,"median":15.5,"p95":20}\n')).toEqual({ median: 15.5, p95: 20 });
  });

  test.each(["", "{}", '{"count":0,"median":null,"p95":null}', "Segmentation fault"])(
    "that found nothing is a failure: %j",
    (text) => {
      expect(() => parseProbe(text)).toThrow("the probe found nothing");
    },
  );
});

describe("the plain cluster", () => {
  test("has its pods' addresses in the pod CIDR of their node", () => {
    expect([plainAddress(4, "node1-pod2"), plainAddress(6, "node2-pod1")]).toEqual([
      "10.244.1.3",
      "fd00:10:244:2::2",
    ]);
    expect(() => plainAddress(4, "node1")).toThrow("node1 is no pod");
  });

  test("of host-gw is a bridge, veths, and a route by the other node's address", () => {
    const plan = planPlain("host-gw", 4, { ...SIZES, pod: 1500, bridge: 1500, tunnel: null }, netns);
    expect(told(plan)).toBe(HOST_GW);
  });

  test("of vxlan has a device without learning in place of that route", () => {
    const plan = planPlain("vxlan", 6, SIZES, netns);
    expect(told(plan.filter(({ why }) => why.includes("tunnel")))).toBe(TUNNEL);
  });

  test("has no rules, and does nothing outside of its namespaces", () => {
    const plan = planPlain("vxlan", 4, SIZES, netns);
    const known = PLAIN_NAMESPACES.map(netns);
    expect(plan.filter((step) => !known.includes(step.netns) || step.op.startsWith("rules"))).toEqual([]);
  });
});

test.each([
  [["mclab-node1"], null],
  [[], '{"items": []}'],
])("a lab that is there, whole or in parts, is in the way: %j", (names, text) => {
  const host: Host = {
    ...createHost(),
    listFolder: (path) => (path === "/run/netns" ? names : []),
    readFile: (path) => (text !== null && path.endsWith("lab.json") ? LAB : text),
  };
  expect(() => refuseSecondLab(host)).toThrow("there is a lab already");
});

test("no lab is in no way, whatever other namespaces there are", () => {
  const host: Host = { ...createHost(), listFolder: () => ["mbench-1-node1"], readFile: () => null };
  expect(() => refuseSecondLab(host)).not.toThrow();
});

test("a kernel's list of processors is read with its ranges", () => {
  expect(parseProcessors("0-2,5,7-8")).toEqual([0, 1, 2, 5, 7, 8]);
});
