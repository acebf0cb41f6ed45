import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { HOST } from "../../../src/plan/step.ts";
import { describeLab, type LabRange, labNetns, netnsPath, planLab } from "../../../src/topology/lab.ts";
import { address, prefix, thrown } from "../../twin/words.ts";

const range = (network: string, length: number, step: bigint): LabRange => ({
  network: address(network),
  length,
  step,
});
const UNDERLAY = [range("172.31.0.0", 32, 1n), range("fd31::", 128, 1n)];
const CLUSTER = [range("10.244.0.0", 24, 256n), range("fd00:244::", 64, 1n << 64n)];
const LENGTHS = new Map([
  [4, 24],
  [6, 64],
] as const);

describe("describeLab", () => {
  test("gives each node its part of every range", () => {
    expect(describeLab(2, UNDERLAY, CLUSTER)).toEqual([
      {
        name: "node1",
        addresses: [address("172.31.0.1"), address("fd31::1")],
        podCidrs: [prefix("10.244.1.0/24"), prefix("fd00:244:0:1::/64")],
      },
      {
        name: "node2",
        addresses: [address("172.31.0.2"), address("fd31::2")],
        podCidrs: [prefix("10.244.2.0/24"), prefix("fd00:244:0:2::/64")],
      },
    ]);
  });

  test("refuses a part beyond the family's space", () => {
    const end = range("255.255.255.254", 32, 1n);
    expect(describeLab(1, [end], [])).toHaveLength(1);
    expect(thrown(() => describeLab(2, [end], []))).toMatchObject({
      name: "RangeError",
      message: "the lab's range has no part 2",
    });
  });
});

test("labNetns marks every namespace as the lab's", () => {
  expect([labNetns("node1"), labNetns("node1", "pod2")]).toEqual(["mclab-node1", "mclab-node1-pod2"]);
  expect(netnsPath("mclab-node1")).toBe("/run/netns/mclab-node1");
});

const nodeText = (name: string, v4: string, v6: string) => {
  const enter = `nsenter --net=/run/netns/mclab-${name}`;
  return `# ${name}: cable to the underlay
${enter} ip link add name eth0 type veth peer name ${name} netns /run/netns/mclab-switch
${enter} ip addr replace ${v4} dev eth0
${enter} ip addr replace ${v6} dev eth0 nodad
${enter} ip link set dev lo up
${enter} ip link set dev eth0 up
nsenter --net=/run/netns/mclab-switch ip link set dev ${name} master underlay up
# ${name}: FORWARD drops, as on a host with Docker
${enter} iptables-restore --noflush -w 10 <<'EOF'
*filter
:FORWARD DROP [0:0]
COMMIT
EOF
${enter} ip6tables-restore --noflush -w 10 <<'EOF'
*filter
:FORWARD DROP [0:0]
COMMIT
EOF
`;
};

describe("planLab", () => {
  const plan = planLab(describeLab(2, UNDERLAY, CLUSTER), LENGTHS);

  test("makes a switch and two nodes", () => {
    expect(formatPlan(plan)).toBe(`# the underlay switch, in a namespace of its own
ip netns add mclab-switch
# the virtual nodes
ip netns add mclab-node1
ip netns add mclab-node2
# the underlay switch
nsenter --net=/run/netns/mclab-switch ip link add name underlay type bridge
nsenter --net=/run/netns/mclab-switch ip link set dev underlay up
${nodeText("node1", "172.31.0.1/24", "fd31::1/64")}${nodeText("node2", "172.31.0.2/24", "fd31::2/64")}`);
  });

  test("does nothing in the machine's own namespace but add namespaces of the lab", () => {
    const here = plan.filter(({ netns }) => netns === HOST);
    expect(here.map((step) => (step.op === "netns.add" ? step.name : step.op))).toEqual([
      "mclab-switch",
      "mclab-node1",
      "mclab-node2",
    ]);
    expect(plan.filter(({ netns }) => netns !== HOST && !netns.startsWith("/run/netns/mclab-"))).toEqual([]);
  });

  test("takes back the namespaces, and with them all that is inside", () => {
    const undone = plan.flatMap(({ undo }) => undo ?? []);
    expect(undone).toEqual(
      ["mclab-switch", "mclab-node1", "mclab-node2"].map((name) => ({ op: "netns.del", name })),
    );
  });
});
