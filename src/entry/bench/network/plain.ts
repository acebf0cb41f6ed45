import { type Address, addOffset, type Family, formatAddress } from "../../../net/address.ts";
import { macOfName } from "../../../net/mac.ts";
import { hostPrefix, type Prefix } from "../../../net/prefix.ts";
import type { NetnsPath, Operation, Plan, Step } from "../../../plan/step.ts";
import { describeLab, type LabRange, type UnderlayRange } from "../../../topology/lab.ts";
import type { PathBackend } from "../backends.ts";

/** MTUs in bytes, as the network has them that this one is compared with. */
export interface Sizes {
  readonly pod: number;
  readonly bridge: number;
  /** Of the links between the nodes. */
  readonly underlay: number;
  /** Of the tunnel; null: there is none. */
  readonly tunnel: number | null;
}

/** Names of the namespaces it needs, in this order. */
export const PLAIN_NAMESPACES = [
  "switch",
  "node1",
  "node2",
  "node1-pod1",
  "node1-pod2",
  "node2-pod1",
] as const;
export type PlainNamespace = (typeof PLAIN_NAMESPACES)[number];

/** Two nodes; pods 1 and 2 of the first, and pod 1 of the second. */
const PODS = { node1: ["node1-pod1", "node1-pod2"], node2: ["node2-pod1"] } as const;
const NODES = ["node1", "node2"] as const;
/** Of RFC 5737 and 3849, for documents: on no machine they are somebody else's. */
const UNDERLAY: Readonly<Record<Family, UnderlayRange>> = {
  4: { network: { family: 4, value: 0xc0000200n }, length: 24, step: 1n, subnetStep: 256n },
  6: { network: { family: 6, value: 0x20010db8n << 96n }, length: 64, step: 1n, subnetStep: 1n << 64n },
};
const CLUSTER: Readonly<Record<Family, LabRange>> = {
  4: { network: { family: 4, value: 0x0af40000n }, length: 24, step: 256n },
  6: { network: { family: 6, value: 0xfd0000100244n << 80n }, length: 64, step: 1n << 64n },
};
const VXLAN = { name: "vxlan0", vni: 42, port: 4789 } as const;

/** Address of a pod, as text. */
export function plainAddress(family: Family, pod: PlainNamespace): string {
  const [node, number] = pod.split("-pod");
  const { nodes } = layoutOf(family);
  const cidr = nodes.find(({ name }) => name === node)?.podCidrs[0];
  if (cidr === undefined || number === undefined) throw new RangeError(`${pod} is no pod`);
  return formatAddress(podAddress(cidr, Number(number)));
}

function layoutOf(family: Family) {
  return describeLab({ nodes: 2, subnets: 1 }, [UNDERLAY[family]], [CLUSTER[family]]);
}

function podAddress(cidr: Prefix, number: number): Address {
  return within(cidr, BigInt(number) + 1n);
}

function within({ address }: Prefix, offset: bigint): Address {
  const found = addOffset(address, offset);
  if (found === null) throw new RangeError("the plain cluster's range is too small");
  return found;
}

/**
 * The plan of what a careful person would make by hand: on each node a Linux bridge with the gateway address, a veth to
 * each pod, a route to the other node's pods, by its address or through a VXLAN device without learning. No rules, no
 * connection tracking. `netns`: paths of empty namespaces.
 */
export function planPlain(
  backend: PathBackend,
  family: Family,
  sizes: Sizes,
  netns: (name: PlainNamespace) => NetnsPath,
): Plan {
  const { nodes } = layoutOf(family);
  const fabric = netns("switch");
  return [
    step(fabric, "the switch between the nodes", {
      op: "link.add",
      link: { kind: "bridge", name: "switch", mtu: sizes.underlay },
    }),
    step(fabric, "the switch between the nodes", { op: "link.set", name: "switch", set: { up: true } }),
    ...NODES.flatMap((name, index) => {
      const [self, peer] = index === 0 ? [nodes[0], nodes[1]] : [nodes[1], nodes[0]];
      const [own, other] = [endOf(self), endOf(peer)];
      if (own === null || other === null) return [];
      return [
        ...planNode(name, own, sizes, netns),
        ...PODS[name].flatMap((pod, at) => planPod(netns(name), netns(pod), own.cidr, at + 1, sizes)),
        ...(backend === "host-gw"
          ? planDirect(netns(name), other)
          : planTunnel(netns(name), own, other, sizes.tunnel ?? sizes.pod)),
      ];
    }),
  ];
}

interface NodeEnd {
  readonly name: string;
  readonly address: Address;
  readonly cidr: Prefix;
}

function endOf(node: ReturnType<typeof layoutOf>["nodes"][number] | undefined): NodeEnd | null {
  const [address, cidr] = [node?.addresses[0], node?.podCidrs[0]];
  return node === undefined || address === undefined || cidr === undefined
    ? null
    : { name: node.name, address, cidr };
}

function step(netns: NetnsPath, why: string, operation: Operation): Step {
  return { ...operation, netns, why };
}

function planNode(
  name: (typeof NODES)[number],
  { address, cidr }: NodeEnd,
  { underlay, bridge }: Sizes,
  netns: (name: PlainNamespace) => NetnsPath,
): Step[] {
  const [why, fabric] = [`${name}: its link to the other node, and its bridge`, netns("switch")];
  const add = (operation: Operation) => step(netns(name), why, operation);
  const sysctl = (key: string, value: string) =>
    add({ op: "sysctl.set", key, value, optional: key.includes("ipv6") });
  const nodad = address.family === 6;
  return [
    // As the lab's nodes have it; before there are links, which take `default` when they are made.
    sysctl("net/ipv4/conf/all/rp_filter", "1"),
    sysctl("net/ipv4/conf/default/rp_filter", "1"),
    sysctl("net/ipv6/conf/default/accept_dad", "0"),
    sysctl("net/ipv4/ip_forward", "1"),
    sysctl("net/ipv6/conf/all/forwarding", "1"),
    add({
      op: "link.add",
      link: {
        kind: "veth",
        name: "eth0",
        mtu: underlay,
        peer: { name, mtu: underlay, netns: fabric },
      },
    }),
    add({
      op: "addr.replace",
      dev: "eth0",
      prefix: { address, length: UNDERLAY[address.family].length },
      nodad,
    }),
    add({ op: "link.set", name: "eth0", set: { up: true } }),
    step(fabric, why, { op: "link.set", name, set: { master: "switch", up: true } }),
    add({ op: "link.add", link: { kind: "bridge", name: "br0", mtu: bridge } }),
    add({
      op: "addr.replace",
      dev: "br0",
      prefix: { address: within(cidr, 1n), length: cidr.length },
      nodad,
    }),
    add({ op: "link.set", name: "br0", set: { up: true } }),
  ];
}

function planPod(node: NetnsPath, pod: NetnsPath, cidr: Prefix, number: number, { pod: mtu }: Sizes): Step[] {
  const why = "a pod: veth, address, default route";
  const port = `pod${number}`;
  const { family } = cidr.address;
  return [
    step(node, why, {
      op: "link.add",
      link: { kind: "veth", name: port, mtu, peer: { name: "eth0", mtu, netns: pod } },
    }),
    step(node, why, { op: "link.set", name: port, set: { master: "br0", up: true } }),
    step(pod, why, {
      op: "addr.replace",
      dev: "eth0",
      prefix: { address: podAddress(cidr, number), length: cidr.length },
      nodad: family === 6,
    }),
    step(pod, why, { op: "link.set", name: "eth0", set: { up: true } }),
    step(pod, why, {
      op: "route.replace",
      route: { dst: { address: { family, value: 0n }, length: 0 }, via: within(cidr, 1n), dev: "eth0" },
    }),
  ];
}

function planDirect(node: NetnsPath, { cidr, address }: NodeEnd): Step[] {
  const route = { dst: cidr, via: address, dev: "eth0" };
  return [step(node, "the other node's pods by its address", { op: "route.replace", route })];
}

function planTunnel(node: NetnsPath, own: NodeEnd, other: NodeEnd, mtu: number): Step[] {
  const { name: dev, ...settings } = VXLAN;
  const [mac, otherMac] = [macOfName(own.name), macOfName(other.name)];
  const [address, next] = [own.cidr.address, other.cidr.address];
  const add = (operation: Operation) => step(node, "the other node's pods through a tunnel", operation);
  return [
    add({ op: "link.add", link: { kind: "vxlan", name: dev, mac, mtu, local: own.address, ...settings } }),
    add({ op: "link.set", name: dev, set: { up: true } }),
    add({ op: "addr.replace", dev, prefix: hostPrefix(address), nodad: address.family === 6 }),
    add({ op: "fdb.replace", dev, mac: otherMac, dst: other.address }),
    add({ op: "neigh.replace", dev, address: next, mac: otherMac }),
    add({ op: "route.replace", route: { dst: other.cidr, via: next, dev, onlink: true } }),
  ];
}
