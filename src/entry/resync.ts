import type { Host } from "../host/machine.ts";
import { observeFilter, observeRoutes } from "../host/observe.ts";
import { FAMILIES } from "../net/address.ts";
import type { ClusterNode } from "../net/node.ts";
import { diffRoutes } from "../plan/diff.ts";
import type { NetnsPath, Plan } from "../plan/step.ts";
import { restoreForward } from "../topology/forward.ts";
import { describeNode } from "../topology/node.ts";

/** What one node needs changed, and what of others is in its way. */
export interface Resync {
  readonly plan: Plan;
  readonly conflicts: readonly string[];
}

/**
 * One node, whole: desired state from the snapshot, observed state from the kernel, the difference as a plan (empty
 * when all is well). Nothing is changed here. `netns` is the node's namespace, `device` its link to the node network.
 */
export async function planResync(
  nodes: readonly ClusterNode[],
  self: string,
  device: string,
  netns: NetnsPath,
  host: Host,
): Promise<Resync> {
  const desired = describeNode(nodes, self, device);
  const routes = diffRoutes(
    netns,
    desired.routes,
    (await Promise.all(FAMILIES.map((family) => observeRoutes(host, netns, family)))).flat(),
  );
  const rules = await Promise.all(
    FAMILIES.map(async (family): Promise<Plan> => {
      const cidrs = desired.forward.get(family) ?? [];
      if (cidrs.length === 0) return [];
      const lines = restoreForward(family, cidrs, await observeFilter(host, netns, family));
      const why = "let pod traffic through FORWARD, ahead of whatever drops it";
      return lines === null ? [] : [{ op: "rules.restore", netns, family, lines, why }];
    }),
  );
  return { plan: [...routes.plan, ...rules.flat()], conflicts: routes.conflicts };
}
