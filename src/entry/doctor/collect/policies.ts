import { isPolicyProgram, isPolicyTable } from "../../../doctor/policy-engines.ts";
import type { Policies } from "../../../doctor/sections/policies.ts";
import { observeProcesses } from "../../../host/processes.ts";
import { openConnection } from "../../../kube/connection.ts";
import { askPolicies } from "../../../kube/policies.ts";
import type { DoctorContext } from "./context.ts";
import { nftTables } from "./rules.ts";

const API_TIMEOUT_MS = 5_000;

/** Whether the cluster has NetworkPolicies, and who of those that no other section knows would enforce them. */
export async function collectPolicies(context: DoctorContext): Promise<Policies> {
  const answer = await askApi(context);
  const programs = observeProcesses().map(({ name }) => name);
  return {
    count: answer.count,
    example: answer.example,
    unasked: answer.fault,
    tables: await readTables(context),
    programs: [...new Set(programs.filter(isPolicyProgram))],
  };
}

/** By the kubeconfig that was named, else the agent's, else as a pod of the cluster. */
async function askApi(
  { settings, agent }: DoctorContext,
  env: Readonly<Record<string, string | undefined>> = process.env,
) {
  const kubeconfig = settings.kubeconfig ?? agent?.settings.kubeconfig ?? null;
  if (kubeconfig === null && !env.KUBERNETES_SERVICE_HOST)
    return { count: null, example: null, fault: "no way to the API is known here: --kubeconfig FILE" };
  return askPolicies(openConnection({ kubeconfig, env }), API_TIMEOUT_MS);
}

async function readTables(context: DoctorContext): Promise<string[] | null> {
  const found = await nftTables(context);
  return found === null || found.exitCode !== 0 ? null : found.names.filter(isPolicyTable);
}
