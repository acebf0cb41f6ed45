import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import {
  type AttachmentOptions,
  describeAttachment,
  planAttach,
  planLinksRemoval,
} from "../../../src/topology/attachment.ts";
import { OPTIONS } from "../../twin/options.ts";
import { address, prefix } from "../../twin/words.ts";

const ADDRESSES = [{ prefix: prefix("10.1.0.2/24"), gateway: address("10.1.0.1") }];

function describeOne(more: Partial<AttachmentOptions>) {
  const key = { network: "pods", containerId: "c1", ifname: "eth0" };
  const addresses = more.podDown === true ? [] : ADDRESSES;
  return describeAttachment(key, "/run/netns/c1", addresses, { ...OPTIONS, ...more });
}

describe("planAttach", () => {
  test("with limits: before either end is up; by tuning: behind our own settings and before it is up", () => {
    const limits = { ingress: { rate: 125_000, burst: 65_536 }, egress: { rate: 250_000, burst: 4000 } };
    const sysctls = [["net/ipv4/conf/eth0/arp_notify", "0"]] as const;
    const tuning = { mtu: 1400, promisc: true, allmulti: false, txQueueLength: 7, sysctls };
    const plan = planAttach(describeOne({ mtu: 1400, bridgeMtu: 1450, limits, tuning }));
    expect(formatPlan(plan)).toBe(`# veth pair, the pod's end born in its namespace
ip link add name mcni63935ca0bad mtu 1400 address 0e:96:44:aa:05:5d type veth peer name eth0 mtu 1400 address 0a:58:0a:01:00:02 netns /run/netns/c1
# host end into the bridge
ip link set dev mcni63935ca0bad master minicni0 addrgenmode none alias minicni:pods:c1:eth0
# what the pod receives is limited
tc qdisc add dev mcni63935ca0bad root handle 1: tbf rate 1000000bit burst 65536b limit 68661b
# what the pod sends is limited, by way of an ifb
ip link add name mcnii63935ca0ba mtu 1400 address 0e:32:85:3b:89:f2 type ifb
ip link set dev mcnii63935ca0ba addrgenmode none alias minicni:pods:c1:eth0
tc qdisc add dev mcnii63935ca0ba root handle 1: tbf rate 2000000bit burst 4000b limit 10250b
ip link set dev mcnii63935ca0ba up
tc qdisc add dev mcni63935ca0bad handle ffff: ingress
tc filter add dev mcni63935ca0bad parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev mcnii63935ca0ba
# a pod must not be able to give routes to the node (CVE-2020-10749)
sysctl -w net.ipv6.conf.mcni63935ca0bad.accept_ra=0
# no wait for duplicate address detection
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.accept_dad=0
# no routes from router advertisements of other pods
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.accept_ra=0
# a changed MAC is told to the neighbours
nsenter --net=/run/netns/c1 sysctl -w net.ipv4.conf.eth0.arp_notify=1
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.ndisc_notify=1
# tuning of the pod's end
nsenter --net=/run/netns/c1 ip link set dev eth0 promisc on allmulticast off txqueuelen 7
# sysctls of the sandbox that the configuration asks for
nsenter --net=/run/netns/c1 sysctl -w net.ipv4.conf.eth0.arp_notify=0
# the pod's end up
nsenter --net=/run/netns/c1 ip link set dev eth0 up
# the pod's addresses
nsenter --net=/run/netns/c1 ip addr replace 10.1.0.2/24 dev eth0
# the pod's routes
nsenter --net=/run/netns/c1 ip route append 0.0.0.0/0 via 10.1.0.1 dev eth0
# up, with hairpin: a pod reaches itself through a Service
ip link set dev mcni63935ca0bad up type bridge_slave hairpin on
`);
    const undone = plan.flatMap(({ undo }) => undo ?? []);
    expect(undone.map((undo) => ("name" in undo ? undo.name : ""))).toEqual([
      "mcni63935ca0bad",
      "mcnii63935ca0ba",
    ]);
  });

  test("tunes an end that stays down as well", () => {
    const tuning = { promisc: true, sysctls: [["net/core/somaxconn", "9"]] as const };
    const text = formatPlan(planAttach(describeOne({ podDown: true, tuning })));
    expect(text).toContain("ip link set dev eth0 promisc on\n");
    expect(text).toContain("sysctl -w net.core.somaxconn=9\n");
    expect(text).not.toContain("dev eth0 up");
  });
});

test("planLinksRemoval removes a pod's host end and its ifb", () => {
  expect(formatPlan(planLinksRemoval(["mcni63935ca0bad", "mcnii63935ca0ba"]))).toBe(
    "# the veth pair, with all that hangs on it\nip link del dev mcni63935ca0bad\n" +
      "# the ifb of what the pod sent\nip link del dev mcnii63935ca0ba\n",
  );
});
