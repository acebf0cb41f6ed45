import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import { agentLog } from "../restart.ts";
import type { OwnNode } from "../sections/own-node.ts";

const TITLE = "this Node's conditions and taints";
/** What the node lifecycle controller puts there as long as NetworkUnavailable is True. */
const TAINT = "node.kubernetes.io/network-unavailable";

/**
 * B11: some clouds begin a Node with NetworkUnavailable=True, and the taint keeps pods away until somebody says otherwise;
 * what was said once gets lost when the Node is made anew (cilium#16846).
 */
export const ownNodeCheck = check("B11", TITLE, ["ownNode"], ({ ownNode }) => {
  const found = [...judgeUnavailable(ownNode), ...judgeReady(ownNode)];
  if (found.length > 0) return found;
  const { node, networkUnavailable, ready, source, agent } = ownNode;
  if (agent === null && networkUnavailable === "True")
    return [skip(`${TITLE}: NetworkUnavailable=True, and no agent runs here that would know better`)];
  const isRight = networkUnavailable === "True" ? ", and rightly so: see B12" : "";
  const said = networkUnavailable === null ? "has no condition" : `says ${networkUnavailable} for`;
  return [
    pass(
      `Node ${node} ${said} NetworkUnavailable${isRight}; Ready is ${ready ?? "not told"} (${source})`,
      evidenceOf(ownNode),
    ),
  ];
});

function evidenceOf({ node, ready, networkUnavailable, taints, agent }: OwnNode): string[] {
  return [
    `Node ${node}: Ready=${ready ?? "(none)"}, NetworkUnavailable=${networkUnavailable ?? "(none)"}`,
    ...taints.map((taint) => `taint ${taint}`),
    ...(agent === null
      ? ["no agent has told anything in this boot"]
      : [`the agent ${describeAgent(agent)}`, ...agent.faults]),
  ];
}

const works = (agent: OwnNode["agent"]) => agent?.isRunning === true && agent.faults.length === 0;

function describeAgent(agent: NonNullable<OwnNode["agent"]>): string {
  if (!agent.isRunning) return "does not run";
  return agent.faults.length === 0 ? "is ready" : "is not ready";
}

function judgeUnavailable(ownNode: OwnNode): Verdict[] {
  const { node, networkUnavailable, taints, agent } = ownNode;
  const taint = taints.find((one) => one.startsWith(TAINT));
  if (networkUnavailable === "True") {
    if (!works(agent)) return [];
    return [
      fail({
        message: `Node ${node} says NetworkUnavailable=True, and its network works`,
        evidence: evidenceOf(ownNode),
        cause:
          agent?.keepsCondition === true
            ? "the agent sets it right each 30 s, and can't, or somebody sets it again (a cloud's route controller): new pods stay Pending"
            : "the cloud began the Node so, and nobody says otherwise (cilium#16846): new pods stay Pending",
        fix:
          agent?.keepsCondition === true
            ? [
                `kubectl auth can-i patch nodes/status --as system:serviceaccount:kube-system:minicni`,
                agentLog(node),
              ]
            : [
                "kubectl apply -k k8s/overlays/node-condition  # MINICNI_NODE_CONDITION=true, and the right to do so",
              ],
      }),
    ];
  }
  if (taint === undefined) return [];
  return [
    fail({
      message: `Node ${node} has the taint ${taint}, and does not say NetworkUnavailable=True`,
      evidence: evidenceOf(ownNode),
      cause:
        "kube-controller-manager takes it away once the condition is False: it does not run, or the Node has no such condition, so that nobody ever does; new pods stay Pending",
      fix: [`kubectl taint node ${node} ${taint}-`],
    }),
  ];
}

/** Whose it is, when it is not ours. */
function judgeReady(ownNode: OwnNode): Verdict[] {
  const { node, ready, agent } = ownNode;
  if (ready === null || ready === "True" || !works(agent)) return [];
  return [
    warn({
      message: `Node ${node} is not Ready (${ready}), and its network works`,
      evidence: evidenceOf(ownNode),
      cause:
        ready === "Unknown"
          ? "the kubelet does not tell of itself any more: it does not run, or does not reach the API server"
          : 'the kubelet says why: where it is "cni plugin not initialized", the runtime looks into another folder of configurations (A8)',
      fix: [
        `kubectl get node ${node} -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}'`,
        "journalctl -u kubelet --since -10min",
      ],
    }),
  ];
}
