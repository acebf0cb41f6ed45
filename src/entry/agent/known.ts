import type { ClusterNode, NodeSnapshot } from "../../net/node.ts";

/** What is known of the Nodes. */
export interface Known {
  readonly snapshot: NodeSnapshot | null;
  /** A complete list of a live source, not the last known one from disk. */
  readonly isLive: boolean;
  /** What is wrong with the source; null when it works. */
  readonly fault: string | null;
}

/** What is wrong with where the Nodes are from; null when nothing is, or nothing has come yet. */
export function describeSource({ snapshot, isLive, fault }: Known): string | null {
  if (isLive || snapshot === null) return fault;
  const standIn = "working from the last known Nodes on disk";
  return fault === null ? standIn : `${fault}; ${standIn}`;
}

/** Our own Node, or why there is none to work with. */
export function findSelf({ snapshot, fault }: Known, name: string): ClusterNode | string {
  if (snapshot === null) return fault === null ? "the Nodes are not known yet" : `no Nodes: ${fault}`;
  const self = snapshot.nodes.find((node) => node.name === name);
  if (self !== undefined) return self;
  const own = snapshot.faults.find(({ node }) => node === name);
  if (own === undefined) {
    const all = [...snapshot.nodes.map((node) => node.name), ...snapshot.faults.map(({ node }) => node)];
    const like = all.find((other) => isLike(other, name));
    const hint = like === undefined ? "" : ` (there is ${like})`;
    return `Node ${name} is not among the ${all.length} Nodes${hint}: NODE_NAME or --node must be its exact name as \`kubectl get nodes\` shows it, which is spec.nodeName of the agent's pod`;
  }
  const hint = /no pod CIDR/.test(own.message)
    ? ": see --allocate-node-cidrs=true and --cluster-cidr of kube-controller-manager (with kubeadm: --pod-network-cidr of `kubeadm init`), or its log where it has them"
    : "";
  return `Node ${name} ${own.message}${hint}`;
}

/** Whether they differ by case, or one of them is the other's host name without its domain. */
function isLike(one: string, other: string): boolean {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  return a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);
}
