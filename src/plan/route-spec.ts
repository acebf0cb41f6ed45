import { RTN_UNICAST, type TableRoute } from "./route-table.ts";
import { ROUTE_PROTOCOL, type RouteSpec, type RouteType } from "./step.ts";

/** RTN_ numbers of include/uapi/linux/rtnetlink.h. */
const TYPES: ReadonlyMap<number, RouteType> = new Map([
  [2, "local"],
  [3, "broadcast"],
  [4, "anycast"],
  [5, "multicast"],
  [6, "blackhole"],
  [7, "unreachable"],
  [8, "prohibit"],
  [9, "throw"],
]);
/** What the kernel gives a route that names no metric; IPv6: IP6_RT_PRIO_USER. */
const DEFAULT_METRIC = { 4: 0, 6: 1024 } as const;

/** The word of an RTN_ type; null for an ordinary route and for numbers without one. */
export function parseRouteType(type: number): RouteType | null {
  return type === RTN_UNICAST ? null : (TYPES.get(type) ?? null);
}

/** A desired route as the step that makes it; `dev` is the name of its link. */
export function formatAddition(route: TableRoute, dev: string): RouteSpec {
  const type = parseRouteType(route.type);
  const { family } = route.dst.address;
  const isDefault = route.metric === null || route.metric === DEFAULT_METRIC[family];
  return {
    dst: route.dst,
    ...(type === null ? {} : { type }),
    ...(route.via === null ? {} : { via: route.via }),
    dev,
    ...(route.isOnlink ? { onlink: true } : {}),
    protocol: ROUTE_PROTOCOL,
    ...(isDefault || route.metric === null ? {} : { metric: route.metric }),
  };
}

/**
 * An observed route as the step that removes it and no other: a delete takes the first route that has all that is
 * named. Metric 0 can't be named (the kernel takes it for any), but it comes first among its destination's routes.
 */
export function formatDeletion(route: TableRoute, dev: string): RouteSpec {
  const type = parseRouteType(route.type);
  return {
    dst: route.dst,
    ...(type === null ? {} : { type }),
    ...(route.via === null ? {} : { via: route.via }),
    dev,
    protocol: route.protocol,
    ...(route.metric === null || route.metric === 0 ? {} : { metric: route.metric }),
  };
}
