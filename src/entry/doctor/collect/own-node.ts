import type { OwnNode } from "../../../doctor/sections/own-node.ts";
import { judgeLife, observeLock } from "../../admin/status/life.ts";
import { readReport } from "../../agent/report.ts";
import { type DoctorContext, Unseen } from "./context.ts";

/** What the API says of our own Node. A list that was kept says nothing of conditions and taints. */
export async function collectOwnNode(context: DoctorContext): Promise<OwnNode> {
  const { cluster, node } = context;
  if (node === null) throw new Unseen("the name of this Node is not known: --node NAME");
  if (!cluster.isLive || cluster.source === null) {
    const fault = cluster.fault === null || cluster.fault === "" ? "" : ` (${cluster.fault})`;
    throw new Unseen(
      `what the API says of this Node is not known: --kubeconfig FILE, or --nodes FILE${fault}`,
    );
  }
  const state = cluster.states.get(node);
  if (state === undefined) throw new Unseen(`${cluster.source} has no Node ${node}`);
  const { ready, networkUnavailable, taints } = state;
  return {
    node,
    source: cluster.source,
    ready,
    networkUnavailable,
    taints: [...taints],
    agent: await observeAgent(context),
  };
}

/** Null: none has told anything in this boot. */
async function observeAgent({ host, settings: { stateDir } }: DoctorContext): Promise<OwnNode["agent"]> {
  const { report } = readReport(stateDir, host);
  if (report === null) return null;
  const { isLocked } = await observeLock(stateDir, host);
  const by = { isLocked, bootId: host.bootId(), nowMs: Date.now(), isReadable: true };
  const life = judgeLife(report, by);
  if (life === "absent") return null;
  const faults = report.readiness.flatMap(({ name, fault }) => (fault === null ? [] : [`${name}: ${fault}`]));
  return { isRunning: life === "running", faults, keepsCondition: report.settings.nodeCondition };
}
