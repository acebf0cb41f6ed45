import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import { parseJson } from "../../host/json.ts";
import type { Host } from "../../host/machine.ts";
import { formatNodeList, parseNodeList } from "../../kube/nodelist.ts";
import type { ClusterNode } from "../../net/node.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { LAB_PREFIX, type LabLayout, type LabSubnet } from "../../topology/lab.ts";
import { BACKENDS, type Backend } from "../../topology/path.ts";

/** Where a lab keeps its NodeList, its pods, and each node's own folder. */
export const LAB_FOLDER = "/run/minicni-lab";
/** The NodeList that the agents read. */
export const NODE_LIST = `${LAB_FOLDER}/nodelist.json`;
/** The NodeList as `lab up` wrote it: who is there, whatever the other one says by now. */
const MADE_LIST = `${LAB_FOLDER}/made.json`;
const LAB_FILE = `${LAB_FOLDER}/lab.json`;

const PodSchema = v.object({
  node: v.string(),
  name: v.string(),
  containerId: v.string(),
  netns: v.string(),
  addresses: v.array(v.string()),
});
const SubnetSchema = v.object({
  name: v.string(),
  networks: v.array(v.string()),
  nodes: v.array(v.string()),
});
const LabSchema = v.object({
  backend: v.picklist(BACKENDS),
  subnets: v.array(SubnetSchema),
  pods: v.array(PodSchema),
});

/** A pod of the lab; addresses as text without length. */
export type LabPod = v.InferOutput<typeof PodSchema>;

/** A lab as it is. */
export interface Lab {
  readonly backend: Backend;
  readonly subnets: readonly LabSubnet[];
  /** The nodes with what `lab up` gave them. */
  readonly made: readonly ClusterNode[];
  /** Those that the NodeList names now, with what it says of them. */
  readonly nodes: readonly ClusterNode[];
  readonly pods: readonly LabPod[];
}

/** Names of the namespaces a lab has, whole or half made. */
export function labNamespaces(host: Host): string[] {
  return host.listFolder("/run/netns").filter((name) => name.startsWith(LAB_PREFIX));
}

/** Folder of one virtual node: its agent's files, attachment records and reservations. */
export function nodeFolder(node: string): string {
  return `${LAB_FOLDER}/${node}`;
}

/** Writes a lab that has no pods yet, and the NodeList for its agents. */
export function writeLayout(host: Host, { nodes, subnets }: LabLayout, backend: Backend): void {
  host.writeFile(MADE_LIST, formatNodeList(nodes));
  host.writeFile(NODE_LIST, formatNodeList(nodes));
  const texts = subnets.map((subnet) => ({ ...subnet, networks: subnet.networks.map(formatPrefix) }));
  host.writeFile(LAB_FILE, `${JSON.stringify({ backend, subnets: texts, pods: [] }, null, 2)}\n`);
}

/** Writes the pods whole. Throws HostError when there is no lab. */
export function writePods(host: Host, pods: readonly LabPod[]): void {
  host.writeFile(LAB_FILE, `${JSON.stringify({ ...readFile(host), pods }, null, 2)}\n`);
}

/** Which backend agents are started with from now on. Throws HostError when there is no lab. */
export function writeBackend(host: Host, backend: Backend): void {
  host.writeFile(LAB_FILE, `${JSON.stringify({ ...readFile(host), backend }, null, 2)}\n`);
}

/** The lab; throws HostError when there is none, or when its files are not what a lab writes. */
export function requireLab(host: Host): Lab {
  const lab = readLab(host);
  if (lab === null) throw new HostError("there is no lab", "make one: minicni lab up --nodes 3");
  return lab;
}

/** Reads a lab; null when there is none. Throws HostError when its files are not what a lab writes. */
export function readLab(host: Host): Lab | null {
  const made = host.readFile(MADE_LIST);
  const nodeList = host.readFile(NODE_LIST);
  if (made === null || nodeList === null) return null;
  const { backend, subnets, pods } = readFile(host);
  const own = parseNodeList(made).nodes;
  return {
    backend,
    subnets: subnets.map((subnet) => ({ ...subnet, networks: subnet.networks.flatMap(toPrefix) })),
    made: own,
    nodes: parseNodeList(nodeList).nodes.filter(({ name }) => own.some((node) => node.name === name)),
    pods,
  };
}

function toPrefix(text: string): Prefix[] {
  const prefix = parsePrefix(text);
  return prefix === null ? [] : [prefix];
}

function readFile(host: Host): v.InferOutput<typeof LabSchema> {
  const parsed = v.safeParse(LabSchema, parseJson(host.readFile(LAB_FILE) ?? ""));
  if (parsed.success) return parsed.output;
  throw new HostError(`${LAB_FILE} is damaged`, "run: minicni lab down");
}

/** The node that `lab up` made under this name. Throws HostError when there is none. */
export function requireNode(lab: Lab, name: string): ClusterNode {
  const node = lab.made.find((one) => one.name === name);
  if (node !== undefined) return node;
  throw new HostError(
    `the lab has no node ${name}`,
    `choose one of ${lab.made.map((one) => one.name).join(", ")}`,
  );
}
