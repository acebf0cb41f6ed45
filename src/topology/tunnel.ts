import { type Address, FAMILIES, type Family, isSameAddress } from "../net/address.ts";
import type { ClusterNode } from "../net/node.ts";
import { hostPrefix, isSamePrefix, type Prefix } from "../net/prefix.ts";
import type { ObservedAddress, ObservedFdb, ObservedLink, ObservedNeighbour } from "../plan/state.ts";
import { HOST, type NewLink, type Operation, type Plan, type Step } from "../plan/step.ts";
import { tunnelAddress, tunnelMacOf } from "./endpoint.ts";
import { addressOf, type Path } from "./path.ts";

/** What is the same for all nodes of a cluster. `vni`: 24 bits; `port`: UDP. */
export interface TunnelSettings {
  readonly vni: number;
  readonly port: number;
}

type VxlanLink = Extract<NewLink, { kind: "vxlan" }>;

/** The MAC of a next hop in the tunnel. */
export type TunnelNeighbour = Omit<ObservedNeighbour, "isPermanent">;

/** One VXLAN device as it should be: with its own addresses, and all it must know of peers. */
export interface TunnelDevice {
  /** Of the outer packets. */
  readonly underlay: Family;
  readonly link: VxlanLink;
  readonly addresses: readonly Prefix[];
  readonly forwarding: readonly ObservedFdb[];
  readonly neighbours: readonly TunnelNeighbour[];
  /** The peers' own addresses in the tunnel. */
  readonly peers: readonly Address[];
}

/** The device by the family of its outer packets: one socket speaks one family, so that each has its own. */
export const TUNNEL_NAMES: Readonly<Record<Family, string>> = { 4: "minicni.vxlan", 6: "minicni.vxlan6" };

/** Bytes that VXLAN adds: outer IP (20 or 40), UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348 §5). */
export const TUNNEL_OVERHEAD: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };

/** Least MTU of a device that is to carry a family (RFC 791 §3.2, RFC 8200 §5). */
const MIN_MTU: Readonly<Record<Family, number>> = { 4: 68, 6: 1280 };

/**
 * The devices of node `self`, one for each family of its node addresses: also without a tunnelled peer, since a peer
 * may come to us through it. `underlayMtu`: bytes, of the link that holds the node address.
 */
export function describeTunnels(
  self: ClusterNode,
  paths: readonly Path[],
  settings: TunnelSettings,
  underlayMtu: (family: Family) => number,
): TunnelDevice[] {
  return FAMILIES.flatMap((underlay): TunnelDevice[] => {
    const local = addressOf(self, underlay);
    if (local === null) return [];
    const own = self.podCidrs.filter(({ address }) => ownUnderlay(self, address.family) === underlay);
    const least = MIN_MTU[self.podCidrs.some(({ address }) => address.family === 6) ? 6 : 4];
    const mtu = Math.max(least, underlayMtu(underlay) - TUNNEL_OVERHEAD[underlay]);
    const name = TUNNEL_NAMES[underlay];
    const forwarding: ObservedFdb[] = [];
    const neighbours: TunnelNeighbour[] = [];
    const peers: Address[] = [];
    let last: ClusterNode | null = null;
    for (const path of paths) {
      if (path.kind !== "tunnel" || path.underlay !== underlay) continue;
      const entries = entriesOf(path);
      // The pod CIDRs of a peer follow each other, and share one entry.
      if (path.peer !== last) forwarding.push(entries.forwarding);
      last = path.peer;
      neighbours.push(entries.neighbour);
      peers.push(tunnelAddress(path.dst));
    }
    return [
      {
        underlay,
        link: { kind: "vxlan", name, mac: tunnelMacOf(self), mtu, ...settings, local },
        addresses: own.map((cidr) => hostPrefix(tunnelAddress(cidr))),
        forwarding,
        neighbours,
        peers,
      },
    ];
  });
}

type TunnelPath = Extract<Path, { kind: "tunnel" }>;
interface TunnelEntries {
  readonly forwarding: ObservedFdb;
  readonly neighbour: TunnelNeighbour;
}

/** One object for a path, whatever else changes: devices can be compared by them. */
const known = new WeakMap<TunnelPath, TunnelEntries>();

function entriesOf(path: TunnelPath): TunnelEntries {
  const before = known.get(path);
  if (before !== undefined) return before;
  const { mac, remote, nextHop } = path;
  const entries = { forwarding: { mac, dst: remote }, neighbour: { address: nextHop, mac } };
  known.set(path, entries);
  return entries;
}

/** A pod CIDR's family where the node has an address of it, else the other. */
function ownUnderlay(self: ClusterNode, family: Family): Family {
  return addressOf(self, family) === null ? (family === 4 ? 6 : 4) : family;
}

/** A device as it is. */
export interface ObservedTunnel {
  readonly link: ObservedLink;
  readonly addresses: readonly ObservedAddress[];
  /** A value below /proc/sys, trimmed; null where the kernel has none. */
  readonly sysctl: (key: string) => string | null;
}

/** Router advertisements from the tunnel would change our routes (flannel PR#1298). */
const acceptRa = (name: string) => `net/ipv6/conf/${name}/accept_ra`;
/** A peer may come directly and be answered through the tunnel: loose (RFC 3704), or off. */
const rpFilter = (name: string) => `net/ipv4/conf/${name}/rp_filter`;

const MAKE = "VXLAN device to the peers behind a router";

/** Why the device's name can't be used: something else of another kind has it. Null when it can. */
export function tunnelConflict({ link }: TunnelDevice, observed: ObservedTunnel | null): string | null {
  if (observed === null || observed.link.kind === "vxlan") return null;
  return `${link.name} is a ${observed.link.kind || "device"} and no VXLAN device: remove it (ip link del ${link.name})`;
}

/** The steps that make the device itself as desired, without what it knows of peers. */
export function planTunnel({ link, addresses }: TunnelDevice, observed: ObservedTunnel | null): Plan {
  const isSame = observed !== null && isSameTunnel(link, observed.link);
  const there = isSame ? observed : null;
  const steps: Step[] = [];
  const add = (operation: Operation) => steps.push({ ...operation, netns: HOST, why: MAKE });
  // VNI, port and source can't be changed on a device that is there.
  if (observed !== null && !isSame) add({ op: "link.del", name: link.name });
  if (there === null) {
    add({ op: "link.add", link });
    // No link-local address: nobody speaks to it, and it would be announced to nobody.
    add({ op: "link.set", name: link.name, set: { addrgenmode: "none" } });
    add(sysctl(acceptRa(link.name), "0"));
    add(sysctl(rpFilter(link.name), "2"));
  } else {
    const mac = there.link.mac === link.mac ? {} : { mac: link.mac };
    const mtu = there.link.mtu === link.mtu ? {} : { mtu: link.mtu };
    if ("mac" in mac || "mtu" in mtu) add({ op: "link.set", name: link.name, set: { ...mac, ...mtu } });
    for (const step of planSysctls(link.name, there)) add(step);
  }
  if (there?.link.up !== true) add({ op: "link.set", name: link.name, set: { up: true } });
  const held = there?.addresses ?? [];
  for (const prefix of addresses) {
    if (held.some((other) => isSamePrefix(other.prefix, prefix))) continue;
    add({ op: "addr.replace", dev: link.name, prefix, nodad: prefix.address.family === 6 });
  }
  for (const { prefix, linkLocal } of held) {
    if (linkLocal || addresses.some((own) => isSamePrefix(own, prefix))) continue;
    add({ op: "addr.del", dev: link.name, prefix });
  }
  return steps;
}

/**
 * What somebody has set since (systemd does so on new links), where it does harm: advertisements that are taken although
 * the node forwards, and the strict filter, of which the kernel takes the greater of `all` and the link's.
 */
function planSysctls(name: string, { sysctl: read }: ObservedTunnel): Operation[] {
  const number = (key: string) => Number(read(key) ?? "0");
  const isStrict = Math.max(number(rpFilter("all")), number(rpFilter(name))) === 1;
  return [
    ...(number(acceptRa(name)) === 2 ? [sysctl(acceptRa(name), "0")] : []),
    ...(isStrict ? [sysctl(rpFilter(name), "2")] : []),
  ];
}

function sysctl(key: string, value: string): Operation {
  return { op: "sysctl.set", key, value, optional: true };
}

function isSameTunnel(link: VxlanLink, { vxlan }: ObservedLink): boolean {
  const isLocal = vxlan?.local != null && isSameAddress(vxlan.local, link.local);
  return isLocal && vxlan.vni === link.vni && vxlan.port === link.port && !vxlan.learning;
}

/** The steps that remove the devices of another backend; `observed`: all links by these names that are VXLAN devices. */
export function planTunnelRemoval(observed: readonly ObservedLink[]): Plan {
  const names = new Set<string>(Object.values(TUNNEL_NAMES));
  return observed
    .filter(({ name, kind }) => names.has(name) && kind === "vxlan")
    .map(({ name }): Step => ({ op: "link.del", name, netns: HOST, why: "VXLAN device of another backend" }));
}
