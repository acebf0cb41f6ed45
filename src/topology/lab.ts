import { type Address, addOffset, FAMILIES, type Family } from "../net/address.ts";
import type { ClusterNode } from "../net/node.ts";
import type { Prefix } from "../net/prefix.ts";
import { HOST, type NewLink, type Operation, type Plan, type Step } from "../plan/step.ts";

/** Every namespace of the lab begins with this: what `lab down` may remove. */
export const LAB_PREFIX = "mclab-";
export const LAB_SWITCH = `${LAB_PREFIX}switch`;
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

/** Name of the namespace of a node, or of a pod on it. */
export function labNetns(node: string, pod?: string): string {
  return pod === undefined ? `${LAB_PREFIX}${node}` : `${LAB_PREFIX}${node}-${pod}`;
}

/** Path of a named namespace, where iproute2 keeps it. */
export function netnsPath(name: string): string {
  return `/run/netns/${name}`;
}

function part({ network, length, step }: LabRange, index: number): Prefix {
  const address = addOffset(network, step * BigInt(index));
  if (address === null) throw new RangeError(`the lab's range has no part ${index}`);
  return { address, length };
}

/** Nodes `node1` … with one underlay address and one pod CIDR of each family. */
export function describeLab(
  count: number,
  underlay: readonly LabRange[],
  cluster: readonly LabRange[],
): ClusterNode[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `node${index + 1}`,
    addresses: underlay.map((range) => part(range, index + 1).address),
    podCidrs: cluster.map((range) => part(range, index + 1)),
  }));
}

/** The plan that makes switch and nodes; the machine's own namespace gets nothing. `underlayLengths` in bits. */
export function planLab(nodes: readonly ClusterNode[], underlayLengths: ReadonlyMap<Family, number>): Plan {
  const fabric = netnsPath(LAB_SWITCH);
  return [
    namespace(LAB_SWITCH, "the underlay switch, in a namespace of its own"),
    ...nodes.map(({ name }) => namespace(labNetns(name), "the virtual nodes")),
    step(fabric, "the underlay switch", { op: "link.add", link: { kind: "bridge", name: "underlay" } }),
    step(fabric, "the underlay switch", { op: "link.set", name: "underlay", set: { up: true } }),
    ...nodes.flatMap((node) => nodeSteps(node, fabric, underlayLengths)),
  ];
}

function namespace(name: string, why: string): Step {
  return { op: "netns.add", name, netns: HOST, why, undo: { op: "netns.del", name } };
}

function step(netns: string, why: string, operation: Operation): Step {
  return { ...operation, netns, why };
}

function nodeSteps(node: ClusterNode, fabric: string, lengths: ReadonlyMap<Family, number>): Step[] {
  const netns = netnsPath(labNetns(node.name));
  const why = `${node.name}: cable to the underlay`;
  const cable: NewLink = { kind: "veth", name: LAB_DEVICE, peer: { name: node.name, netns: fabric } };
  const addresses = node.addresses.map((address) =>
    step(netns, why, {
      op: "addr.replace",
      dev: LAB_DEVICE,
      prefix: { address, length: lengths.get(address.family) ?? 64 },
      nodad: address.family === 6,
    }),
  );
  // As Docker leaves a host: without our rules nothing is forwarded, so a passing test proves them.
  const drop = FAMILIES.map((family) =>
    step(netns, `${node.name}: FORWARD drops, as on a host with Docker`, {
      op: "rules.restore",
      family,
      lines: ["*filter", ":FORWARD DROP [0:0]", "COMMIT"],
    }),
  );
  return [
    step(netns, why, { op: "link.add", link: cable }),
    ...addresses,
    step(netns, why, { op: "link.set", name: "lo", set: { up: true } }),
    step(netns, why, { op: "link.set", name: LAB_DEVICE, set: { up: true } }),
    step(fabric, why, { op: "link.set", name: node.name, set: { master: "underlay", up: true } }),
    ...drop,
  ];
}
