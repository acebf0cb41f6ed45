import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { formatNodeList } from "../../kube/nodelist.ts";
import { type Address, type Family, parseAddress } from "../../net/address.ts";
import { HOST, type Plan } from "../../plan/step.ts";
import { describeLab, LAB_DEVICE, type LabRange, labNetns, netnsPath, planLab } from "../../topology/lab.ts";
import { planResync } from "../resync.ts";
import { callPlugin, resultAddresses } from "./call.ts";
import { LAB_FOLDER, type LabPod, labNamespaces, readLab, writePods } from "./state.ts";

/** How large a lab is. */
export interface LabSize {
  readonly nodes: number;
  readonly pods: number;
}

const MAX_NODES = 32;
const MAX_PODS = 32;

function known(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new RangeError(text);
  return address;
}

/** Underlay: 172.31.255.0/24 and fd00:31:255::/64, one address a node. Cluster: 10.244.0.0/16 and fd00:10:244::/48. */
const UNDERLAY: readonly LabRange[] = [
  { network: known("172.31.255.0"), length: 24, step: 1n },
  { network: known("fd00:31:255::"), length: 64, step: 1n },
];
const CLUSTER: readonly LabRange[] = [
  { network: known("10.244.0.0"), length: 24, step: 256n },
  { network: known("fd00:10:244::"), length: 64, step: 1n << 64n },
];

/** Makes the lab. Throws HostError; what is half made is for `lab down`. Returns the number of pods. */
export async function labUp(
  size: LabSize,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): Promise<number> {
  checkSize(size);
  const left = labNamespaces(host);
  if (readLab(host) !== null || left.length > 0) {
    throw new HostError(
      `there is a lab already (${left.length} namespaces)`,
      "remove it first: minicni lab down",
    );
  }
  const nodes = describeLab(size.nodes, UNDERLAY, CLUSTER);
  host.writeFile(`${LAB_FOLDER}/nodelist.json`, formatNodeList(nodes));
  say(`making ${size.nodes} nodes on an underlay switch`);
  await host.execute(
    planLab(nodes, new Map<Family, number>(UNDERLAY.map(({ network, length }) => [network.family, length]))),
  );
  for (const node of nodes) {
    const netns = netnsPath(labNetns(node.name));
    const { plan } = await planResync(nodes, node.name, LAB_DEVICE, netns, host);
    await host.execute(plan);
    say(`${node.name}: ${plan.length} changes for peer routes and FORWARD rules`);
  }
  const pods: LabPod[] = [];
  for (const node of nodes) {
    for (let index = 1; index <= size.pods; index++) pods.push(planPod(node.name, index));
  }
  // Kept before they are made: `lab down` has to find what an interrupted `lab up` made.
  writePods(host, pods);
  await host.execute(
    pods.map((pod): Plan[number] => ({
      op: "netns.add",
      name: labNetns(pod.node, pod.name),
      netns: HOST,
      why: "the pods' sandboxes",
    })),
  );
  const made: LabPod[] = [];
  for (const pod of pods) {
    const node = nodes.find(({ name }) => name === pod.node);
    if (node === undefined) throw new HostError(`no node ${pod.node}`, "this is a fault of minicni");
    made.push({ ...pod, addresses: resultAddresses(await callPlugin("ADD", node, pod, self, host)) });
  }
  writePods(host, made);
  say(`attached ${made.length} pods`);
  return made.length;
}

function checkSize({ nodes, pods }: LabSize): void {
  const isFine = (value: number, max: number) => Number.isInteger(value) && value >= 1 && value <= max;
  if (!isFine(nodes, MAX_NODES))
    throw new HostError(`--nodes is ${nodes}, wanted 1 … ${MAX_NODES}`, "choose another number");
  if (!isFine(pods, MAX_PODS))
    throw new HostError(`--pods is ${pods}, wanted 1 … ${MAX_PODS}`, "choose another number");
}

function planPod(node: string, index: number): LabPod {
  const name = `pod${index}`;
  return {
    node,
    name,
    containerId: `lab-${node}-${name}`,
    netns: netnsPath(labNetns(node, name)),
    addresses: [],
  };
}
