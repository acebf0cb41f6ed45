import { describe, expect, test } from "bun:test";
import { ownNodeCheck } from "../../../src/doctor/checks/b11-own-node.ts";
import type { OwnNode } from "../../../src/doctor/sections/own-node.ts";
import { findingsOf, linesOf } from "./facts.ts";

const AGENT = { isRunning: true, faults: [], keepsCondition: false };
const HEALTHY: OwnNode = {
  node: "n1",
  source: "kubeconfig /etc/kubernetes/admin.conf",
  ready: "True",
  networkUnavailable: "False",
  taints: [],
  agent: AGENT,
};
const TAINT = "node.kubernetes.io/network-unavailable:NoSchedule";
const of = (changes: Partial<OwnNode>) => findingsOf(ownNodeCheck, { ownNode: { ...HEALTHY, ...changes } });

describe("B11, this Node's conditions and taints", () => {
  test.each<[string, Partial<OwnNode>, string]>([
    [
      "as they should be",
      {},
      "PASS B11 Node n1 says False for NetworkUnavailable; Ready is True (kubeconfig /etc/kubernetes/admin.conf)",
    ],
    [
      "no such condition",
      { networkUnavailable: null, ready: null },
      "PASS B11 Node n1 has no condition NetworkUnavailable; Ready is not told (kubeconfig /etc/kubernetes/admin.conf)",
    ],
    [
      "taints of others",
      { taints: ["node-role.kubernetes.io/control-plane:NoSchedule"] },
      "PASS B11 Node n1 says False for NetworkUnavailable; Ready is True (kubeconfig /etc/kubernetes/admin.conf)",
    ],
    [
      "unavailable, while the network works",
      { networkUnavailable: "True", taints: [TAINT] },
      "FAIL B11 Node n1 says NetworkUnavailable=True, and its network works",
    ],
    [
      "unavailable, and so it is",
      { networkUnavailable: "True", agent: { ...AGENT, faults: ["routes: no way"] } },
      "PASS B11 Node n1 says True for NetworkUnavailable, and rightly so: see B12; Ready is True (kubeconfig /etc/kubernetes/admin.conf)",
    ],
    [
      "unavailable, and nobody knows better",
      { networkUnavailable: "True", agent: null },
      "SKIP B11 this Node's conditions and taints: NetworkUnavailable=True, and no agent runs here that would know better",
    ],
    [
      "a taint that was left",
      { taints: [TAINT] },
      `FAIL B11 Node n1 has the taint ${TAINT}, and does not say NetworkUnavailable=True`,
    ],
    [
      "not Ready, and not by the network",
      { ready: "False" },
      "WARN B11 Node n1 is not Ready (False), and its network works",
    ],
    [
      "not Ready, by the network",
      { ready: "False", agent: { ...AGENT, faults: ["published: not yet"] } },
      "PASS B11 Node n1 says False for NetworkUnavailable; Ready is False (kubeconfig /etc/kubernetes/admin.conf)",
    ],
  ])("%s", (_what, changes, line) => {
    expect(linesOf(of(changes))).toEqual([line]);
  });

  test("the fix is what the agent is not told yet, or what keeps it from doing so", () => {
    const [untold] = of({ networkUnavailable: "True" });
    expect(untold?.fix[0]).toStartWith("kubectl apply -k k8s/overlays/node-condition");
    const [told] = of({ networkUnavailable: "True", agent: { ...AGENT, keepsCondition: true } });
    expect(told?.fix[0]).toBe(
      "kubectl auth can-i patch nodes/status --as system:serviceaccount:kube-system:minicni",
    );
    const [left] = of({ taints: [TAINT] });
    expect(left?.fix).toEqual([`kubectl taint node n1 ${TAINT}-`]);
    expect(left?.evidence).toContain(`taint ${TAINT}`);
  });
});
