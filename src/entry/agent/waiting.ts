import { formatAddress } from "../../net/address.ts";
import type { NodeFault } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import type { Step } from "../../plan/step.ts";
import type { DerivedPaths } from "./derived.ts";
import type { Reach } from "./lookups.ts";

/** Routes that can't be had right now; what is there of them stays. */
export interface Waiting {
  readonly faults: readonly NodeFault[];
  /** Whether a step would make such a route: the kernel would refuse it. */
  isFor(step: Step): boolean;
}

/** Direct ways to peers whose address leads nowhere at the moment. */
export function findWaiting({ paths }: DerivedPaths, reach: Reach): Waiting {
  const faults: NodeFault[] = [];
  const destinations = new Set<string>();
  for (const path of paths) {
    if (path.kind !== "direct" || !reach.isLost(path.via)) continue;
    destinations.add(formatPrefix(path.dst));
    const message = `its InternalIP ${formatAddress(path.via)} is unreachable at the moment`;
    faults.push({ node: path.peer.name, message });
  }
  const isFor = (step: Step) =>
    destinations.size > 0 && step.op === "route.replace" && destinations.has(formatPrefix(step.route.dst));
  return { faults, isFor };
}
