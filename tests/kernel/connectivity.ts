import { readFileSync } from "node:fs";
import type { Finding } from "../../src/entry/admin/connectivity/causes.ts";
import type { Probe } from "../../src/entry/admin/connectivity/judge.ts";
import type { ConnectivityReport } from "../../src/entry/admin/connectivity/report.ts";
import type { AgentNode } from "./agent.ts";
import { makeNeighbours, probe, probeConfig } from "./probe-nodes.ts";

/** Two nodes with agents; a pod on the second one. */
export async function makeCluster(families: readonly (4 | 6)[], ...args: string[]) {
  const { here, there } = makeNeighbours(...families);
  const agents = { here: await here.up(...args), there: await there.up(...args) };
  const conf = JSON.parse(readFileSync(probeConfig(there), "utf8"));
  const pod = there.box.pod();
  const addresses = there.box.add(pod, conf).ips.map(({ address }) => address.replace(/\/.*/, ""));
  return { here, there, agents, pod, addresses, config: probeConfig(here) };
}

/** Looks from a node. Throws when there is nothing to read. */
export function look(node: AgentNode, ...args: string[]) {
  const { exitCode, stdout, stderr } = probe(
    node,
    "connectivity",
    "--config",
    probeConfig(node),
    "--json",
    ...args,
  );
  if (stdout === "") throw new Error(`exit ${exitCode}: ${stderr}`);
  const report: ConnectivityReport = JSON.parse(stdout);
  return { exitCode, ...report };
}

const lineOf = ({ from, to, family, status }: Probe) => `${from} ${to} ${family} ${status}`;
/** What was asked of a peer (null: of none), and what came of it. */
export const linesOf = (probes: readonly Probe[], peer: string | null) =>
  probes.filter((one) => one.peer === peer).map(lineOf);
/** Whom each finding is about, and its cause. */
export const causesOf = (findings: readonly Finding[]) =>
  findings.map(({ about, families, cause }) => [about, families, cause]);
