import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { parseNodeList } from "../../kube/nodelist.ts";
import type { ClusterNode } from "../../net/node.ts";
import { LAB_PREFIX } from "../../topology/lab.ts";

/** Where a lab keeps its NodeList, its pods, and each node's own folder. */
export const LAB_FOLDER = "/run/minicni-lab";

const PodSchema = v.object({
  node: v.string(),
  name: v.string(),
  containerId: v.string(),
  netns: v.string(),
  addresses: v.array(v.string()),
});
const StateSchema = v.object({ pods: v.array(PodSchema) });

/** A pod of the lab; addresses as text without length. */
export type LabPod = v.InferOutput<typeof PodSchema>;

/** Names of the namespaces a lab has, whole or half made. */
export function labNamespaces(host: Host): string[] {
  return host.listFolder("/run/netns").filter((name) => name.startsWith(LAB_PREFIX));
}

/** Folder of one virtual node: its attachment records and reservations. */
export function nodeFolder(node: string): string {
  return `${LAB_FOLDER}/${node}`;
}

/** Writes the pods whole. */
export function writePods(host: Host, pods: readonly LabPod[]): void {
  host.writeFile(`${LAB_FOLDER}/pods.json`, `${JSON.stringify({ pods }, null, 2)}\n`);
}

/** Reads a lab; null when there is none. Throws HostError when its files are not what a lab writes. */
export function readLab(host: Host): { nodes: readonly ClusterNode[]; pods: readonly LabPod[] } | null {
  const nodeList = host.readFile(`${LAB_FOLDER}/nodelist.json`);
  if (nodeList === null) return null;
  const pods = v.safeParse(
    StateSchema,
    JSON.parse(host.readFile(`${LAB_FOLDER}/pods.json`) ?? '{"pods":[]}'),
  );
  if (!pods.success) throw new HostError(`${LAB_FOLDER}/pods.json is damaged`, "run: minicni lab down");
  return { nodes: parseNodeList(nodeList).nodes, pods: pods.output.pods };
}
