import { describe, expect, test } from "bun:test";
import { allocate } from "../../../src/ipam/allocate.ts";
import { parseRangeSets } from "../../../src/ipam/range.ts";
import { formatPlan } from "../../../src/plan/format.ts";
import {
  type AttachmentOptions,
  describeAttachment,
  planAttach,
  planDetach,
} from "../../../src/topology/attachment.ts";
import { createMemoryLedger } from "../../twin/ledger.ts";
import { OPTIONS } from "../../twin/options.ts";
import { createTwinPool } from "../../twin/pool.ts";
import { address, prefix } from "../../twin/words.ts";

const KEY = { network: "pods", containerId: "c1", ifname: "eth0" };
const NETNS = "/run/netns/c1";

function describeOn(subnets: string[], more: Partial<AttachmentOptions> = {}) {
  const sets = parseRangeSets(subnets.map((subnet) => [{ subnet }]));
  const addresses = subnets.length === 0 ? [] : allocate(sets, [], createMemoryLedger(), createTwinPool);
  return describeAttachment(KEY, NETNS, addresses, { ...OPTIONS, ...more });
}

/** The lines of a plan that hold a word; comments left out. */
function linesWith(word: string, text: string): string[] {
  return text.split("\n").filter((line) => !line.startsWith("#") && line.includes(word));
}

describe("planAttach", () => {
  test("of one IPv4 address, whole", () => {
    expect(
      formatPlan(planAttach(describeOn(["10.1.0.0/24"]))),
    ).toBe(`# veth pair, the pod's end born in its namespace
ip link add name mcni63935ca0bad mtu 1450 address 0e:96:44:aa:05:5d type veth peer name eth0 mtu 1450 address 0a:58:0a:01:00:02 netns /run/netns/c1
# host end into the bridge
ip link set dev mcni63935ca0bad master minicni0 addrgenmode none alias minicni:pods:c1:eth0
# a pod must not be able to give routes to the node (CVE-2020-10749)
sysctl -w net.ipv6.conf.mcni63935ca0bad.accept_ra=0
# no wait for duplicate address detection
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.accept_dad=0
# no routes from router advertisements of other pods
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.accept_ra=0
# a changed MAC is told to the neighbours
nsenter --net=/run/netns/c1 sysctl -w net.ipv4.conf.eth0.arp_notify=1
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.ndisc_notify=1
# the pod's end up
nsenter --net=/run/netns/c1 ip link set dev eth0 up
# the pod's addresses
nsenter --net=/run/netns/c1 ip addr replace 10.1.0.2/24 dev eth0
# the pod's routes
nsenter --net=/run/netns/c1 ip route append 0.0.0.0/0 via 10.1.0.1 dev eth0
# up, with hairpin: a pod reaches itself through a Service
ip link set dev mcni63935ca0bad up type bridge_slave hairpin on
`);
  });

  test("of two families, whole", () => {
    const plan = planAttach(describeOn(["10.1.0.0/24", "fd00::/64"], { isolated: true, hairpin: false }));
    expect(formatPlan(plan)).toBe(`# veth pair, the pod's end born in its namespace
ip link add name mcni63935ca0bad mtu 1450 address 0e:96:44:aa:05:5d type veth peer name eth0 mtu 1450 address 0a:58:0a:01:00:02 netns /run/netns/c1
# host end into the bridge
ip link set dev mcni63935ca0bad master minicni0 addrgenmode none alias minicni:pods:c1:eth0
# a pod must not be able to give routes to the node (CVE-2020-10749)
sysctl -w net.ipv6.conf.mcni63935ca0bad.accept_ra=0
# some runtimes start pods with IPv6 off
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.disable_ipv6=0
# no wait for duplicate address detection
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.accept_dad=0
# no routes from router advertisements of other pods
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.accept_ra=0
# a changed MAC is told to the neighbours
nsenter --net=/run/netns/c1 sysctl -w net.ipv4.conf.eth0.arp_notify=1
nsenter --net=/run/netns/c1 sysctl -w net.ipv6.conf.eth0.ndisc_notify=1
# the pod's end up
nsenter --net=/run/netns/c1 ip link set dev eth0 up
# the pod's addresses
nsenter --net=/run/netns/c1 ip addr replace 10.1.0.2/24 dev eth0
nsenter --net=/run/netns/c1 ip addr replace fd00::2/64 dev eth0 nodad
# the pod's routes
nsenter --net=/run/netns/c1 ip route append 0.0.0.0/0 via 10.1.0.1 dev eth0
nsenter --net=/run/netns/c1 ip route append ::/0 via fd00::1 dev eth0
# up, with its port flags
ip link set dev mcni63935ca0bad up type bridge_slave hairpin off isolated on
`);
  });

  test("waits for duplicate address detection only when asked to", () => {
    const text = formatPlan(planAttach(describeOn(["fd00::/64"], { enableDad: true })));
    expect(text).not.toContain("nodad");
    expect(text).not.toContain("accept_dad");
  });

  test("of no address has links, but neither address nor route", () => {
    const text = formatPlan(planAttach(describeOn([])));
    expect(text).toContain("ip link add");
    expect(text).not.toContain("ip addr");
    expect(text).not.toContain("ip route");
  });

  test("takes back the one step that makes something, by one undo", () => {
    const undone = planAttach(describeOn(["10.1.0.0/24"])).flatMap(({ undo }) => undo ?? []);
    expect(undone).toEqual([{ op: "link.del", name: describeOn([]).hostVeth }]);
  });

  test("takes back nothing when the link was refused: what has the name is somebody else's", () => {
    const steps = planAttach(describeOn(["10.1.0.0/24"]));
    const mayMakeHalf = steps.filter(({ undo, isAtomic }) => undo !== undefined && isAtomic !== true);
    expect(mayMakeHalf).toEqual([]);
  });

  test("gives a link no alias that the kernel would refuse", () => {
    const key = { ...KEY, containerId: "c".repeat(250) };
    const text = formatPlan(planAttach(describeAttachment(key, NETNS, [], OPTIONS)));
    expect(linesWith("master", text)).toEqual([
      expect.stringMatching(/^ip link set dev mcni[0-9a-f]{11} master minicni0 addrgenmode none$/),
    ]);
  });
});

/** The lines of the host's side between the birth of the pair and the pod's side. */
function hostLines(more: Partial<AttachmentOptions>, subnets = ["10.1.0.0/24"]): string[] {
  const lines = formatPlan(planAttach(describeOn(subnets, more))).split("\n");
  return lines.filter((line) => /^(bridge|ip (link set|neigh))/.test(line));
}

describe("VLANs", () => {
  const JOIN = "ip link set dev mcni63935ca0bad master minicni0 addrgenmode none alias minicni:pods:c1:eth0";
  const UP = "ip link set dev mcni63935ca0bad up type bridge_slave hairpin on";

  test("are set between joining the bridge and coming up", () => {
    expect(hostLines({ vlan: 10, trunk: [20, 30] })).toEqual([
      JOIN,
      "bridge vlan del vid 1 dev mcni63935ca0bad",
      "bridge vlan add vid 10 dev mcni63935ca0bad pvid untagged",
      "bridge vlan add vid 20 dev mcni63935ca0bad",
      "bridge vlan add vid 30 dev mcni63935ca0bad",
      UP,
    ]);
  });

  test.each([[{}], [{ vlan: null, trunk: [] }], [{ vlan: 0 }], [{ preserveDefaultVlan: true }]])(
    "are not touched with %j",
    (more) => expect(hostLines(more)).toEqual([JOIN, UP]),
  );

  test("leave the default one with preserveDefaultVlan", () => {
    expect(hostLines({ trunk: [20], preserveDefaultVlan: true })).toEqual([
      JOIN,
      "bridge vlan add vid 1 dev mcni63935ca0bad pvid untagged",
      "bridge vlan add vid 20 dev mcni63935ca0bad",
      UP,
    ]);
  });
});

describe("the gateway's neighbour entries", () => {
  const DUAL = ["10.1.0.0/24", "fd00::/64"];

  test("name the pod's MAC for each of its addresses, on the link that carries the gateway", () => {
    const mac = "02:00:00:00:00:09";
    const lines = hostLines({ mac, gatewayDevice: "minicni0.10" }, DUAL);
    expect(lines.filter((line) => line.includes("neigh"))).toEqual([
      "ip neigh replace 10.1.0.2 dev minicni0.10 nud none",
      "ip neigh replace fd00::2 dev minicni0.10 nud none",
    ]);
  });

  test.each([[{}], [{ gatewayDevice: null }]])("are left alone with %j", (more) => {
    expect(hostLines(more, DUAL).join()).not.toContain("ip neigh");
  });
});

describe("routes", () => {
  test("of the configuration come first; a default of their own leaves out ours", () => {
    const own = { dst: prefix("0.0.0.0/0"), gw: address("10.1.0.9") };
    const text = formatPlan(planAttach(describeOn(["10.1.0.0/24", "fd00::/64"], { routes: [own] })));
    expect(linesWith("ip route", text)).toEqual([
      `nsenter --net=${NETNS} ip route append 0.0.0.0/0 via 10.1.0.9 dev eth0`,
      `nsenter --net=${NETNS} ip route append ::/0 via fd00::1 dev eth0`,
    ]);
  });

  test("without a gateway go by that of their family, and carry their numbers", () => {
    const routes = [
      { dst: prefix("10.2.0.0/16"), gw: null, mtu: 1400, advmss: 1360, priority: 7, table: 100 },
      { dst: prefix("10.3.0.0/16"), gw: null, scope: 253 },
      { dst: prefix("fd01::/64"), gw: null },
    ];
    const plan = planAttach(describeOn(["10.1.0.0/24"], { routes, defaultRoute: false }));
    expect(linesWith("ip route", formatPlan(plan))).toEqual([
      `nsenter --net=${NETNS} ip route append 10.2.0.0/16 via 10.1.0.1 dev eth0 metric 7 table 100 mtu 1400 advmss 1360`,
      `nsenter --net=${NETNS} ip route append 10.3.0.0/16 dev eth0 scope link`,
      `nsenter --net=${NETNS} ip route append fd01::/64 dev eth0`,
    ]);
  });
});

describe("an address without gateway", () => {
  const describeAlone = (more: Partial<AttachmentOptions>) => {
    const alone = { prefix: prefix("10.1.0.2/24"), gateway: null };
    return describeAttachment(KEY, NETNS, [alone], { ...OPTIONS, ...more });
  };

  test("has on-link routes, the default one too", () => {
    const routes = [{ dst: prefix("10.2.0.0/16"), gw: null }];
    const attachment = describeAlone({ routes });
    expect(attachment.routes).toEqual([...routes, { dst: prefix("0.0.0.0/0"), gw: null }]);
    expect(linesWith("ip route", formatPlan(planAttach(attachment)))).toEqual([
      `nsenter --net=${NETNS} ip route append 10.2.0.0/16 dev eth0`,
      `nsenter --net=${NETNS} ip route append 0.0.0.0/0 dev eth0`,
    ]);
  });

  test("is no neighbour of the gateway", () => {
    expect(formatPlan(planAttach(describeAlone({ gatewayDevice: "br0" })))).not.toContain("ip neigh");
  });
});

describe("describeAttachment", () => {
  test("gives the same names and MACs on every call", () => {
    expect(describeOn(["10.1.0.0/24"])).toEqual(describeOn(["10.1.0.0/24"]));
  });

  test("derives the pod's MAC from its address, or takes the one asked for", () => {
    expect(describeOn(["10.1.0.0/24"]).podMac).toBe("0a:58:0a:01:00:02");
    expect(describeOn(["10.1.0.0/24"], { mac: "02:00:00:00:00:09" }).podMac).toBe("02:00:00:00:00:09");
  });

  test("gives the two ends of a pair without address different MACs", () => {
    const { hostMac, podMac } = describeOn([]);
    expect(hostMac).not.toBe(podMac);
  });
});

test("planDetach removes the host end, and with it everything", () => {
  expect(formatPlan(planDetach("mcni1"))).toBe(
    "# the veth pair, with all that hangs on it\nip link del dev mcni1\n",
  );
});
