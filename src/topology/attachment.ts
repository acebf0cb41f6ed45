import type { ResultRoute } from "../cni/result.ts";
import type { Allocation } from "../ipam/allocate.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { isSameAddress } from "../net/address.ts";
import { hostVethName } from "../net/ifname.ts";
import { macOfAddress, macOfName } from "../net/mac.ts";
import { isSamePrefix, type Prefix } from "../net/prefix.ts";
import { HOST, type NetnsPath, type Plan, type RouteSpec, type Step } from "../plan/step.ts";

/** A route as the configuration gives it; without `gw` it goes by the gateway of its family. */
export type PodRoute = ResultRoute;

/** What the configuration says about the links of an attachment. */
export interface AttachmentOptions {
  readonly bridge: string;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly defaultRoute: boolean;
  readonly enableDad: boolean;
  /** The pod's end stays down and gets no addresses (`disableContainerInterface`: a VM runs its own stack on it). */
  readonly podDown: boolean;
  /** Bytes. */
  readonly mtu: number;
  /** The pod-side MAC that was asked for. */
  readonly mac: string | null;
  readonly routes: readonly PodRoute[];
}

/** What should be: one attachment's links, addresses and routes. */
export interface Attachment {
  readonly key: AttachmentKey;
  readonly netns: NetnsPath;
  readonly bridge: string;
  readonly hostVeth: string;
  readonly hostMac: string;
  readonly podMac: string;
  readonly mtu: number;
  readonly addresses: readonly Allocation[];
  /** Routes of the result, in order: the configured ones, then the default routes that were missing. */
  readonly routes: readonly PodRoute[];
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly enableDad: boolean;
  /** The pod's end stays down and gets no addresses (`disableContainerInterface`: a VM runs its own stack on it). */
  readonly podDown: boolean;
}

/** The desired state of an attachment. Pure: the same arguments give the same names and MACs on every call. */
export function describeAttachment(
  key: AttachmentKey,
  netns: NetnsPath,
  addresses: readonly Allocation[],
  options: AttachmentOptions,
): Attachment {
  const hostVeth = hostVethName(key.network, key.containerId, key.ifname);
  const [first] = addresses;
  const podMac =
    options.mac ?? (first === undefined ? macOfName(`${hostVeth}/pod`) : macOfAddress(first.prefix.address));
  return {
    key,
    netns,
    bridge: options.bridge,
    hostVeth,
    hostMac: macOfName(hostVeth),
    podMac,
    mtu: options.mtu,
    addresses,
    routes: [...options.routes, ...(options.defaultRoute ? missingDefaults(addresses, options.routes) : [])],
    hairpin: options.hairpin,
    isolated: options.isolated,
    enableDad: options.enableDad,
    podDown: options.podDown,
  };
}

/** One default route for each family that has an address and no default route of its own. */
function missingDefaults(addresses: readonly Allocation[], routes: readonly PodRoute[]): PodRoute[] {
  const defaults: PodRoute[] = [];
  for (const { prefix, gateway } of addresses) {
    const dst: Prefix = { address: { family: prefix.address.family, value: 0n }, length: 0 };
    if ([...routes, ...defaults].some((route) => isSamePrefix(route.dst, dst))) continue;
    defaults.push({ dst, gw: gateway });
  }
  return defaults;
}

/** The plan that makes an attachment on a bridge that is there: host side first, then inside the sandbox. */
export function planAttach(attachment: Attachment): Plan {
  return [...hostSteps(attachment), ...(attachment.podDown ? [] : podSteps(attachment))];
}

function hostSteps({
  hostVeth,
  hostMac,
  podMac,
  mtu,
  key,
  netns,
  bridge,
  hairpin,
  isolated,
}: Attachment): Step[] {
  const peer = { name: key.ifname, mac: podMac, mtu, netns };
  return [
    {
      op: "link.add",
      netns: HOST,
      // Both MACs are given at birth: udev's MACAddressPolicy leaves those alone (systemd#3374).
      link: { kind: "veth", name: hostVeth, mac: hostMac, mtu, peer },
      why: "veth pair, the pod's end born in its namespace",
      undo: { op: "link.del", name: hostVeth },
    },
    {
      op: "link.set",
      netns: HOST,
      name: hostVeth,
      set: { master: bridge, addrgenmode: "none", up: true },
      why: "host end into the bridge",
    },
    {
      op: "link.set",
      netns: HOST,
      name: hostVeth,
      set: { port: { hairpin, ...(isolated ? { isolated } : {}) } },
      why: hairpin ? "hairpin: a pod reaches itself through a Service" : "port flags",
    },
  ];
}

function podSteps({ key, netns, addresses, routes, enableDad }: Attachment): Step[] {
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
    ...routes.map(
      (route): Step => ({
        op: "route.replace",
        netns,
        route: routeOf(route, dev, addresses),
        why: "the pod's routes",
      }),
    ),
  ];
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
  const gateway = route.gw ?? (route.scope === 253 ? undefined : own?.gateway);
  const scope = [...SCOPES].find(([number]) => number === route.scope)?.[1];
  const isOwnGateway =
    gateway !== undefined && own !== undefined && isSameAddress(gateway, own.prefix.address);
  return {
    dst: route.dst,
    dev,
    ...(gateway === undefined || isOwnGateway ? {} : { via: gateway }),
    ...(route.mtu === undefined ? {} : { mtu: route.mtu }),
    ...(route.advmss === undefined ? {} : { advmss: route.advmss }),
    ...(route.priority === undefined ? {} : { metric: route.priority }),
    ...(route.table === undefined ? {} : { table: route.table }),
    ...(scope === undefined ? {} : { scope }),
  };
}

/** The plan that removes an attachment: the host end takes the pod's end, its addresses and routes with it. */
export function planDetach(hostVeth: string): Plan {
  return [{ op: "link.del", netns: HOST, name: hostVeth, why: "the veth pair, with all that hangs on it" }];
}
