import { fail, type Verdict, warn } from "../finding.ts";
import type { Cidrs } from "../sections/cidrs.ts";
import { countOf, someOf } from "../some.ts";

type Fault = Cidrs["faults"][number];

/** Whether what is wrong with a Node is its pod CIDR; all others are about its addresses or the whole of it (B3). */
export function isCidrFault({ message }: Fault): boolean {
  return message.includes("pod CIDR");
}

/** Nodes that every agent leaves out since their pod CIDRs can't be used: our own alone, the others together. */
export function judgeCidrFaults({ self, faults }: Cidrs): Verdict[] {
  const found = faults.filter(isCidrFault);
  const own = found.find(({ node }) => node === self);
  const others = found.filter((fault) => fault !== own);
  return [...(own === undefined ? [] : [judgeOwn(own)]), ...judgeOthers(others)];
}

function judgeOwn(own: Fault): Verdict {
  return fail({
    message: `this Node ${own.node} ${own.message}`,
    evidence: [`${own.node} ${own.message}`],
    cause: `no agent makes a network for ${own.node}: its pods get no addresses, and no other node reaches them`,
    fix: fixOf(own),
  });
}

function judgeOthers(others: readonly Fault[]): Verdict[] {
  const [first] = others;
  if (first === undefined) return [];
  const names = others.map(({ node }) => node);
  return [
    warn({
      message:
        others.length === 1
          ? `Node ${first.node} ${first.message}`
          : `${countOf(others.length, "Node")} can't be used for their pod CIDRs: ${someOf(names)}`,
      evidence: others.map(({ node, message }) => `${node} ${message}`),
      cause: `their pods are reached by nobody; all other Nodes are as they would be without ${others.length === 1 ? "it" : "them"}`,
      fix: fixOf(first),
    }),
  ];
}

function fixOf({ node, message }: Fault): string[] {
  if (message.startsWith("has no pod CIDR")) {
    return [
      "# kube-controller-manager gives one with --allocate-node-cidrs=true and a --cluster-cidr that is not used up (kubeadm: networking.podSubnet)",
      `kubectl get node ${node} -o jsonpath='{.spec.podCIDRs}'`,
    ];
  }
  if (message.includes("InternalIP")) {
    return [
      `kubectl get node ${node} -o jsonpath='{.spec.podCIDRs} {.status.addresses}'`,
      "# give the cluster a --cluster-cidr outside of the network of the machines, or the kubelet another --node-ip",
    ];
  }
  // spec.podCIDRs can't be changed once set (ValidateNodeUpdate of kubernetes), so that the Node has to be made again.
  return [
    `kubectl drain ${node} --ignore-daemonsets --delete-emptydir-data`,
    `kubectl delete node ${node}`,
    `# then on ${node}: systemctl restart kubelet, which makes the Node again, with a pod CIDR of its own`,
  ];
}
