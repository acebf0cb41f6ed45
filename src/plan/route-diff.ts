import type { Prefix } from "../net/prefix.ts";
import type { RouteChanges } from "./route-changes.ts";
import { describeRouteInTheWay } from "./route-owner.ts";
import { formatAddition, formatDeletion } from "./route-spec.ts";
import { type RouteTable, RTN_UNICAST } from "./route-table.ts";
import { HOST, type NetnsPath, type Plan, type RouteSpec, type Step } from "./step.ts";

/** A desired route that is not programmed, because a foreign one to its destination is there (never touched). */
export interface RouteConflict {
  readonly dst: Prefix;
  /** RTPROT_ number of the foreign route. */
  readonly protocol: number;
  /** For a person: whose it is and how to remove it. */
  readonly message: string;
}

/** The steps of a route diff, and what has none. */
export interface RoutePlan {
  /** Additions and replacements first, so that nothing is unreachable in between. */
  readonly plan: Plan;
  readonly conflicts: readonly RouteConflict[];
  /** Deletions that were not allowed. */
  readonly withheld: number;
  /** Additions whose link has no name: it went between the two looks at the kernel, and the next pass finds out. */
  readonly unlinked: number;
}

/**
 * The steps that {@link RouteChanges} mean; the tables are those that were compared. `nameOf` gives a link's name by
 * index, null when there is none. Without `allowDeletions` only additions and replacements are planned.
 */
export function planRoutes(
  changes: RouteChanges,
  desired: RouteTable,
  observed: RouteTable,
  nameOf: (ifindex: number) => string | null,
  allowDeletions: boolean,
  netns: NetnsPath = HOST,
): RoutePlan {
  const step = (op: "route.replace" | "route.del", route: RouteSpec, why: string): Step => ({
    op,
    netns,
    route,
    why,
  });
  const plan: Step[] = [];
  let unlinked = 0;
  for (const [index] of pairsOf(changes.upserts)) {
    const route = desired.at(index);
    const dev = nameOf(route.ifindex) ?? "";
    if (dev === "" && route.type === RTN_UNICAST) unlinked++;
    else plan.push(step("route.replace", formatAddition(route, dev), WHY.peers));
  }
  for (const [index, wanted] of allowDeletions ? pairsOf(changes.deletions) : []) {
    const route = observed.at(index);
    const dev = route.ifindex === 0 ? "" : nameOf(route.ifindex);
    // A link takes its routes along when it goes.
    if (dev !== null)
      plan.push(step("route.del", formatDeletion(route, dev), wanted < 0 ? WHY.gone : WHY.second));
  }
  const conflicts = Array.from(pairsOf(changes.conflicts), ([index, foreign]): RouteConflict => {
    const route = observed.at(foreign);
    const dev = route.ifindex === 0 ? "" : (nameOf(route.ifindex) ?? "");
    return {
      dst: desired.at(index).dst,
      protocol: route.protocol,
      message: describeRouteInTheWay(route, dev),
    };
  });
  return { plan, conflicts, withheld: allowDeletions ? 0 : changes.deletions.length / 2, unlinked };
}

const WHY = {
  peers: "routes to the pods of peers",
  gone: "routes of peers that are gone",
  second: "second routes of ours to the pods of peers",
} as const;

function* pairsOf(pairs: Int32Array): Generator<readonly [number, number]> {
  for (let at = 0; at + 1 < pairs.length; at += 2) yield [pairs[at] ?? 0, pairs[at + 1] ?? 0];
}
