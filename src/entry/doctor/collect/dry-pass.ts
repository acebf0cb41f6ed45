import type { DryPassFacts } from "../../../doctor/sections/dry-pass.ts";
import { dryPass, settingsOfReport } from "../../admin/dry-pass.ts";
import { type DoctorContext, Unseen } from "./context.ts";

/** What this node's agent would change now, with the settings that it was started with. */
export async function collectDryPass(context: DoctorContext): Promise<DryPassFacts> {
  const { host, agent, agentFault, cluster, node } = context;
  if (agent === null) {
    throw new Unseen(
      `what an agent would want here is not known: ${agentFault ?? "none has said"} (minicni plan --node NAME asks all the same)`,
    );
  }
  const found = await dryPass(node ?? agent.settings.node, settingsOfReport(agent), cluster, host);
  if (typeof found === "string") throw new Unseen(found);
  const { steps, conflicts, peers, faults, routes, rules } = found;
  return {
    ...found,
    steps: [...steps],
    conflicts: [...conflicts],
    peers: [...peers],
    faults: [...faults],
    routes: [...routes],
    rules: {
      ...rules,
      changes: [...rules.changes],
      faults: [...rules.faults],
      warnings: [...rules.warnings],
      blocks: [...rules.blocks],
    },
  };
}
