import { type Address, addOffset, FAMILIES, type Family } from "../net/address.ts";
import type { ClusterNode } from "../net/node.ts";
import type { Prefix } from "../net/prefix.ts";
import { HOST, type NewLink, type Operation, type Plan, type Step } from "../plan/step.ts";

/** Every namespace of the lab begins with this: what `lab down` may remove. */
export const LAB_PREFIX = "mclab-";
/** Holds one bridge for each underlay subnet; it has no address and forwards nothing between them. */
export const LAB_SWITCH = `${LAB_PREFIX}switch`;
/** Between the underlay subnets, where there are several; it knows no pod CIDR. */
export const LAB_ROUTER = `${LAB_PREFIX}router`;
/** The link of a virtual node to the underlay. */
export const LAB_DEVICE = "eth0";

/** A prefix of which each virtual node gets a part: the underlay, or the cluster CIDR. */
export interface LabRange {
  readonly network: Address;
  /** Length of what a node gets, in bits. */
  readonly length: number;
  /** Distance between the parts of two nodes. */
  readonly step: bigint;
}

/** The underlay: `length` is that of one subnet, `network` the first of them. */
export interface UnderlayRange extends LabRange {
  /** Distance between two subnets; negative: downwards. */
  readonly subnetStep: bigint;
}

/** How large a lab is; the nodes are spread over the subnets in blocks. */
export interface LabSize {
  readonly nodes: number;
  readonly subnets: number;
}

/** One underlay subnet. */
export interface LabSubnet {
  /** Of its bridge in the switch, and of the router's link to it. */
  readonly name: string;
  readonly networks: readonly Prefix[];
  /** Names of the nodes in it. */
  readonly nodes: readonly string[];
}

/** What a lab consists of, pods apart. */
export interface LabLayout {
  readonly nodes: readonly ClusterNode[];
  readonly subnets: readonly LabSubnet[];
}

/** Name of the namespace of a node, or of a pod on it. */
export function labNetns(node: string, pod?: string): string {
  return pod === undefined ? `${LAB_PREFIX}${node}` : `${LAB_PREFIX}${node}-${pod}`;
}

/** Path of a named namespace, where iproute2 keeps it. */
export function netnsPath(name: string): string {
  return `/run/netns/${name}`;
}

function offset(network: Address, distance: bigint): Address {
  const address = addOffset(network, distance);
  if (address === null) throw new RangeError("the lab's range is too small for its nodes");
  return address;
}

/** Nodes `node1` … with one underlay address and one pod CIDR for each range. Throws RangeError when a range ends. */
export function describeLab(
  { nodes, subnets }: LabSize,
  underlay: readonly UnderlayRange[],
  cluster: readonly LabRange[],
): LabLayout {
  const subnetOf = (index: number) => Math.floor((index * subnets) / nodes);
  const networkIn = (range: UnderlayRange, subnet: number) =>
    offset(range.network, range.subnetStep * BigInt(subnet));
  const all = Array.from({ length: nodes }, (_, index) => ({
    name: `node${index + 1}`,
    addresses: underlay.map((range) =>
      offset(networkIn(range, subnetOf(index)), range.step * BigInt(index + 1)),
    ),
    podCidrs: cluster.map(({ network, length, step }) => ({
      address: offset(network, step * BigInt(index + 1)),
      length,
    })),
  }));
  return {
    nodes: all,
    subnets: Array.from({ length: subnets }, (_, subnet) => ({
      name: `subnet${subnet + 1}`,
      networks: underlay.map((range) => ({ address: networkIn(range, subnet), length: range.length })),
      nodes: all.flatMap(({ name }, index) => (subnetOf(index) === subnet ? [name] : [])),
    })),
  };
}

/** Behind the addresses of all nodes, in the smaller of the two networks. */
const ROUTER_HOST = 254n;

/** The router's addresses in a subnet, with the subnet's lengths. */
export function routerAddresses({ networks }: LabSubnet): Prefix[] {
  return networks.map(({ address, length }) => ({ address: offset(address, ROUTER_HOST), length }));
}

const FABRIC = netnsPath(LAB_SWITCH);

/**
 * The plan that makes switch, router and nodes; the machine's own namespace gets nothing. `mtu`: bytes, of every
 * underlay link; null: what the kernel chooses.
 */
export function planLab({ nodes, subnets }: LabLayout, mtu: number | null): Plan {
  const isRouted = subnets.length > 1;
  return [
    namespace(LAB_SWITCH, "the underlay switch, in a namespace of its own"),
    ...(isRouted ? [namespace(LAB_ROUTER, "a router between the underlay subnets")] : []),
    ...nodes.map(({ name }) => namespace(labNetns(name), "the virtual nodes")),
    ...subnets.flatMap(({ name }) => [
      step(FABRIC, "the underlay switch", { op: "link.add", link: { kind: "bridge", name } }),
      step(FABRIC, "the underlay switch", { op: "link.set", name, set: { up: true } }),
    ]),
    ...(isRouted ? routerSteps(subnets, mtu) : []),
    ...nodes.flatMap((node) => {
      const subnet = subnets.find((one) => one.nodes.includes(node.name));
      return subnet === undefined ? [] : nodeSteps(node, subnet, isRouted, mtu);
    }),
  ];
}

function namespace(name: string, why: string): Step {
  return { op: "netns.add", name, netns: HOST, why, undo: { op: "netns.del", name } };
}

function step(netns: string, why: string, operation: Operation): Step {
  return { ...operation, netns, why };
}

/** A cable from `name` in `netns` to a subnet's bridge, where its end is called `port`. */
function cable(
  netns: string,
  name: string,
  subnet: LabSubnet,
  port: string,
  addresses: readonly Prefix[],
  mtu: number | null,
  why: string,
): Step[] {
  const size = mtu === null ? {} : { mtu };
  const link: NewLink = { kind: "veth", name, ...size, peer: { name: port, ...size, netns: FABRIC } };
  return [
    step(netns, why, { op: "link.add", link }),
    // A node's link has been up for long; only link-local addresses are meant: the others are `nodad`.
    sysctl(netns, why, `net/ipv6/conf/${name}/accept_dad`, "0", true),
    ...addresses.map((prefix) =>
      step(netns, why, { op: "addr.replace", dev: name, prefix, nodad: prefix.address.family === 6 }),
    ),
    step(netns, why, { op: "link.set", name, set: { up: true } }),
    step(FABRIC, why, { op: "link.set", name: port, set: { master: subnet.name, up: true } }),
  ];
}

function sysctl(netns: string, why: string, key: string, value: string, optional = false): Step {
  return step(netns, why, { op: "sysctl.set", key, value, optional });
}

function routerSteps(subnets: readonly LabSubnet[], mtu: number | null): Step[] {
  const netns = netnsPath(LAB_ROUTER);
  const why = "the router knows the underlay subnets alone";
  return [
    sysctl(netns, why, "net/ipv4/ip_forward", "1"),
    sysctl(netns, why, "net/ipv6/conf/all/forwarding", "1", true),
    ...subnets.flatMap((subnet) =>
      cable(netns, subnet.name, subnet, `router-${subnet.name}`, routerAddresses(subnet), mtu, why),
    ),
  ];
}

function nodeSteps(node: ClusterNode, subnet: LabSubnet, isRouted: boolean, mtu: number | null): Step[] {
  const netns = netnsPath(labNetns(node.name));
  const why = `${node.name}: cable to the underlay`;
  const strict = `${node.name}: strict reverse path filter, as many distributions have`;
  const lengths = new Map<Family, number>(
    subnet.networks.map(({ address, length }) => [address.family, length]),
  );
  const addresses = node.addresses.map((address) => ({ address, length: lengths.get(address.family) ?? 64 }));
  const routes = (isRouted ? routerAddresses(subnet) : []).map(({ address }) => {
    const dst = { address: { family: address.family, value: 0n }, length: 0 };
    const route = { dst, via: address, dev: LAB_DEVICE };
    return step(netns, `${node.name}: default route by the router`, { op: "route.replace", route });
  });
  // As Docker leaves a host: without our rules nothing is forwarded, so a passing test proves them.
  const drop = FAMILIES.map((family) =>
    step(netns, `${node.name}: FORWARD drops, as on a host with Docker`, {
      op: "rules.restore",
      family,
      lines: ["*filter", ":FORWARD DROP [0:0]", "COMMIT"],
    }),
  );
  return [
    // Before there are links: each takes `default` when it is made.
    sysctl(netns, strict, "net/ipv4/conf/all/rp_filter", "1"),
    sysctl(netns, strict, "net/ipv4/conf/default/rp_filter", "1"),
    step(netns, why, { op: "link.set", name: "lo", set: { up: true } }),
    ...cable(netns, LAB_DEVICE, subnet, node.name, addresses, mtu, why),
    ...routes,
    ...drop,
  ];
}
