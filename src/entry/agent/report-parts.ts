import { formatPrefix } from "../../net/prefix.ts";
import type { AgentReport } from "./report.ts";
import type { AgentSettings } from "./settings.ts";

/** The settings that a report has. */
export function describeSettings(settings: AgentSettings): AgentReport["settings"] {
  const { node, nodesFile, kubeconfig, backend, vni, vxlanPort, masquerade, masqueradeNodes, mtu } = settings;
  const { stateDir, dataDir, confDir, listen, resyncPeriodMs, leakGraceMs, nodeCondition, executor } =
    settings;
  return {
    node,
    nodesFile,
    kubeconfig,
    backend,
    vni,
    vxlanPort,
    clusterCidrs: settings.clusterCidrs.map(formatPrefix),
    nonMasqueradeCidrs: settings.nonMasqueradeCidrs.map(formatPrefix),
    masquerade,
    masqueradeNodes,
    mtu,
    stateDir,
    dataDir,
    confDir,
    listen,
    resyncPeriodMs,
    leakGraceMs,
    nodeCondition,
    executor,
  };
}

/** Where the Nodes are from, in the words of a connection. */
export function describeSourceName({
  nodesFile,
  kubeconfig,
}: Pick<AgentSettings, "nodesFile" | "kubeconfig">): string {
  if (nodesFile !== null) return `file ${nodesFile}`;
  return kubeconfig === null ? "in-cluster ServiceAccount" : `kubeconfig ${kubeconfig}`;
}
