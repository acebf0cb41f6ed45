import { isSameAddress } from "../net/address.ts";
import { formatPrefix, isSamePrefix } from "../net/prefix.ts";
import { type NetnsPath, type Plan, ROUTE_PROTOCOL, type RouteSpec, type Step } from "./step.ts";

/** The steps between observed and desired routes, and foreign routes that are in the way (never touched). */
export interface RouteDiff {
  readonly plan: Plan;
  readonly conflicts: readonly string[];
}

/**
 * Compares desired routes with all observed ones. Only routes with our protocol are replaced or deleted; a foreign one
 * to the same destination is reported. Additions come before deletions, so that nothing is unreachable in between.
 */
export function diffRoutes(
  netns: NetnsPath,
  desired: readonly RouteSpec[],
  observed: readonly RouteSpec[],
): RouteDiff {
  const conflicts: string[] = [];
  const additions: Step[] = [];
  for (const route of desired) {
    const there = observed.filter(({ dst }) => isSamePrefix(dst, route.dst));
    const foreign = there.find(({ protocol }) => protocol !== ROUTE_PROTOCOL);
    if (foreign !== undefined) {
      conflicts.push(
        `${formatPrefix(route.dst)}: a route of protocol ${foreign.protocol ?? "unknown"} by ${foreign.dev} is in the way`,
      );
      continue;
    }
    if (there.some((own) => isSameRoute(own, route))) continue;
    additions.push({ op: "route.replace", netns, route, why: "routes to the pods of peers" });
  }
  const deletions = observed
    .filter(
      (route) => route.protocol === ROUTE_PROTOCOL && !desired.some((wanted) => isReplacedBy(route, wanted)),
    )
    .map((route): Step => ({ op: "route.del", netns, route, why: "routes of peers that are gone" }));
  return { plan: [...additions, ...deletions], conflicts };
}

/** `ip route replace` finds its match by destination and metric: another metric is another route, and stays. */
function isReplacedBy(old: RouteSpec, wanted: RouteSpec): boolean {
  return isSamePrefix(old.dst, wanted.dst) && metricOf(old) === metricOf(wanted);
}

/** Without a metric IPv4 has 0 and IPv6 1024 (IP6_RT_PRIO_USER), which `ip -j` prints. */
function metricOf({ metric, dst }: RouteSpec): number {
  return metric ?? (dst.address.family === 6 ? 1024 : 0);
}

function isSameRoute(a: RouteSpec, b: RouteSpec): boolean {
  const sameVia = a.via === undefined || b.via === undefined ? a.via === b.via : isSameAddress(a.via, b.via);
  return sameVia && a.dev === b.dev && metricOf(a) === metricOf(b);
}
