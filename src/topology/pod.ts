import type { Allocation } from "../ipam/allocate.ts";
import { formatAddress, isSameAddress } from "../net/address.ts";
import { formatPrefix } from "../net/prefix.ts";
import type { NetnsPath, RouteSpec, Step } from "../plan/step.ts";
import type { Attachment, PodRoute } from "./attachment.ts";

/** Should a later plugin give the pod another MAC, the kernel tells the neighbours (ip-sysctl: arp_notify, ndisc_notify). */
function announceSteps(dev: string, netns: NetnsPath): Step[] {
  return [`net/ipv4/conf/${dev}/arp_notify`, `net/ipv6/conf/${dev}/ndisc_notify`].map((key) => ({
    op: "sysctl.set",
    netns,
    key,
    value: "1",
    optional: true,
    why: "a changed MAC is told to the neighbours",
  }));
}

/** The steps inside the sandbox: settings of the link, `tuned` behind ours, then up, addresses and routes. */
export function podSteps(
  { key, netns, addresses, routes, enableDad }: Attachment,
  tuned: readonly Step[],
): Step[] {
  const dev = key.ifname;
  const conf = `net/ipv6/conf/${dev}`;
  const hasV6 = addresses.some(({ prefix }) => prefix.address.family === 6);
  const sysctl = (name: string, value: string, why: string): Step => ({
    op: "sysctl.set",
    netns,
    key: `${conf}/${name}`,
    value,
    optional: !hasV6 || name !== "disable_ipv6",
    why,
  });
  return [
    ...(hasV6 ? [sysctl("disable_ipv6", "0", "some runtimes start pods with IPv6 off")] : []),
    ...(enableDad ? [] : [sysctl("accept_dad", "0", "no wait for duplicate address detection")]),
    sysctl("accept_ra", "0", "no routes from router advertisements of other pods"),
    ...announceSteps(key.ifname, netns),
    ...tuned,
    { op: "link.set", netns, name: dev, set: { up: true }, why: "the pod's end up" },
    ...addresses.map(
      ({ prefix }): Step => ({
        op: "addr.replace",
        netns,
        dev,
        prefix,
        nodad: prefix.address.family === 6 && !enableDad,
        why: "the pod's addresses",
      }),
    ),
    // Appended: another attachment of the sandbox, or another route to the same place, keeps what it has.
    ...distinct(routes).map(
      (route): Step => ({
        op: "route.append",
        netns,
        route: routeOf(route, dev, addresses),
        why: "the pod's routes",
      }),
    ),
  ];
}

/** Without those that stand there twice: the kernel would refuse the second one. */
function distinct(routes: readonly PodRoute[]): PodRoute[] {
  const text = (route: PodRoute) =>
    [formatPrefix(route.dst), route.gw && formatAddress(route.gw), route.priority, route.table].join(" ");
  return routes.filter((route, index) => routes.findIndex((other) => text(other) === text(route)) === index);
}

const SCOPES = new Map([
  [0, "global"],
  [253, "link"],
  [254, "host"],
] as const);

function routeOf(route: PodRoute, dev: string, addresses: readonly Allocation[]): RouteSpec {
  const family = route.dst.address.family;
  const own = addresses.find(({ prefix }) => prefix.address.family === family);
  // SPEC: scope link means that the destination is on the link itself; a gateway would contradict it.
  const gateway = route.gw ?? (route.scope === 253 ? null : (own?.gateway ?? null));
  const scope = [...SCOPES].find(([number]) => number === route.scope)?.[1];
  const isOwnGateway = gateway !== null && own !== undefined && isSameAddress(gateway, own.prefix.address);
  return {
    dst: route.dst,
    dev,
    ...(gateway === null || isOwnGateway ? {} : { via: gateway }),
    ...(route.mtu === undefined ? {} : { mtu: route.mtu }),
    ...(route.advmss === undefined ? {} : { advmss: route.advmss }),
    ...(route.priority === undefined ? {} : { metric: route.priority }),
    ...(route.table === undefined ? {} : { table: route.table }),
    ...(scope === undefined ? {} : { scope }),
  };
}
