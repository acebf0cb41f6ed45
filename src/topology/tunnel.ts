import { type Address, FAMILIES, type Family, formatAddress, isSameAddress } from "../net/address.ts";
import { macOfName } from "../net/mac.ts";
import type { ClusterNode, NodeFault } from "../net/node.ts";
import { formatPrefix, hostPrefix, isSamePrefix, type Prefix } from "../net/prefix.ts";
import type { ObservedAddress, ObservedFdb, ObservedLink, ObservedNeighbour } from "../plan/state.ts";
import { HOST, type NewLink, type Operation, type Plan, type Step } from "../plan/step.ts";
import { addressOf, type Path } from "./path.ts";

/** What is the same for all nodes of a cluster. `vni`: 24 bits; `port`: UDP. */
export interface TunnelSettings {
  readonly vni: number;
  readonly port: number;
}

type VxlanLink = Extract<NewLink, { kind: "vxlan" }>;

/** One VXLAN device as it should be: with its own addresses, and all it must know of peers. */
export interface TunnelDevice {
  /** Of the outer packets. */
  readonly underlay: Family;
  readonly link: VxlanLink;
  readonly addresses: readonly Prefix[];
  readonly forwarding: readonly ObservedFdb[];
  readonly neighbours: readonly Omit<ObservedNeighbour, "isPermanent">[];
  /** The peers' own addresses in the tunnel. */
  readonly peers: readonly Address[];
}

/** The device by the family of its outer packets: one socket speaks one family, so that each has its own. */
export const TUNNEL_NAMES: Readonly<Record<Family, string>> = { 4: "minicni.vxlan", 6: "minicni.vxlan6" };

/** Bytes that VXLAN adds: outer IP (20 or 40), UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348 §5). */
export const TUNNEL_OVERHEAD: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };

/** Least MTU of a device that is to carry a family (RFC 791 §3.2, RFC 8200 §5). */
const MIN_MTU: Readonly<Record<Family, number>> = { 4: 68, 6: 1280 };

/** MAC of a node's tunnel endpoint, from its name alone: nobody has to publish it. */
export function tunnelMac(node: string): string {
  return macOfName(`tunnel endpoint of ${node}`);
}

/**
 * A node's address in the tunnel for one of its pod CIDRs: the network address itself, which no pod gets (flannel does
 * so as well).
 */
export function tunnelAddress(podCidr: Prefix): Address {
  return podCidr.address;
}

/**
 * The next hop of a route into the tunnel: it only has to be a neighbour there. For IPv6 a link-local address with the
 * peer's MAC in it (RFC 4291 app. A), since the kernel refuses a global one as long as any route but a default one
 * leads to it by another link, be it the direct route that is to be replaced (ip6_route_check_nh_onlink of
 * net/ipv6/route.c).
 */
export function tunnelNextHop(peer: string, podCidr: Prefix): Address {
  if (podCidr.address.family === 4) return tunnelAddress(podCidr);
  const octets = tunnelMac(peer)
    .split(":")
    .map((octet) => BigInt(`0x${octet}`));
  const [first = 0n, second = 0n, third = 0n, ...rest] = octets;
  const bytes = [first ^ 2n, second, third, 0xffn, 0xfen, ...rest];
  return { family: 6, value: bytes.reduce((value, byte) => (value << 8n) | byte, 0xfe80n << 48n) };
}

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
    const forwarding = new Map<string, ObservedFdb>();
    const neighbours = [];
    const peers: Address[] = [];
    for (const path of paths) {
      if (path.kind !== "tunnel" || path.underlay !== underlay) continue;
      const mac = tunnelMac(path.peer.name);
      forwarding.set(mac, { mac, dst: path.remote });
      neighbours.push({ address: tunnelNextHop(path.peer.name, path.dst), mac });
      peers.push(tunnelAddress(path.dst));
    }
    return [
      {
        underlay,
        link: { kind: "vxlan", name, mac: tunnelMac(self.name), mtu, ...settings, local },
        addresses: own.map((cidr) => hostPrefix(tunnelAddress(cidr))),
        forwarding: [...forwarding.values()],
        neighbours,
        peers,
      },
    ];
  });
}

/** A pod CIDR's family where the node has an address of it, else the other. */
function ownUnderlay(self: ClusterNode, family: Family): Family {
  return addressOf(self, family) === null ? (family === 4 ? 6 : 4) : family;
}

/** Nodes whose names give one MAC (40 bits of hash): the later one can't be told from the earlier. */
export function findMacFaults(nodes: readonly ClusterNode[]): NodeFault[] {
  const owners = new Map<string, string>();
  return nodes.flatMap(({ name }): NodeFault[] => {
    const mac = tunnelMac(name);
    const owner = owners.get(mac);
    owners.set(mac, owner ?? name);
    return owner === undefined ? [] : [{ node: name, message: `has the tunnel MAC ${mac} of node ${owner}` }];
  });
}

/** A link with its addresses; null: there is none. */
export interface ObservedTunnel {
  readonly link: ObservedLink;
  readonly addresses: readonly ObservedAddress[];
}

const MAKE = "VXLAN device to the peers behind a router";
const PEERS = "tunnel endpoints of peers";
const GONE = "tunnel endpoints of peers that are gone";

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
    // Router advertisements from the tunnel would change our routes (flannel PR#1298).
    add(sysctl(`net/ipv6/conf/${link.name}/accept_ra`, "0"));
    // A peer may come directly and be answered through the tunnel: loose (RFC 3704); the kernel takes max(all, link).
    add(sysctl(`net/ipv4/conf/${link.name}/rp_filter`, "2"));
  } else {
    const mac = there.link.mac === link.mac ? {} : { mac: link.mac };
    const mtu = there.link.mtu === link.mtu ? {} : { mtu: link.mtu };
    if ("mac" in mac || "mtu" in mtu) add({ op: "link.set", name: link.name, set: { ...mac, ...mtu } });
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

function sysctl(key: string, value: string): Operation {
  return { op: "sysctl.set", key, value, optional: true };
}

function isSameTunnel(link: VxlanLink, { vxlan }: ObservedLink): boolean {
  const isLocal = vxlan?.local != null && isSameAddress(vxlan.local, link.local);
  return isLocal && vxlan.vni === link.vni && vxlan.port === link.port && !vxlan.learning;
}

/** What a device has to learn of peers, and to forget: the one goes before the routes, the other behind them. */
export interface TunnelPeersPlan {
  readonly additions: { readonly forwarding: Plan; readonly neighbours: Plan };
  readonly deletions: { readonly forwarding: Plan; readonly neighbours: Plan };
}

/** The difference between desired and observed peers of a device. Entries that the kernel made by itself are left. */
export function planTunnelPeers(
  { link: { name: dev }, forwarding, neighbours }: TunnelDevice,
  observed: {
    readonly forwarding: readonly ObservedFdb[];
    readonly neighbours: readonly ObservedNeighbour[];
  },
): TunnelPeersPlan {
  const step = (operation: Operation, why: string): Step => ({ ...operation, netns: HOST, why });
  const wantedFdb = new Map(forwarding.map((entry) => [fdbKey(entry), entry]));
  const wantedNeighbours = new Map(neighbours.map((entry) => [neighbourKey(entry), entry]));
  const wantedAddresses = new Set(neighbours.map(({ address }) => formatAddress(address)));
  const wantedMacs = new Set(forwarding.map(({ mac }) => mac));
  const staleFdb = observed.forwarding.filter((entry) => !wantedFdb.delete(fdbKey(entry)));
  const staleNeighbours = observed.neighbours.filter(
    (entry) => entry.isPermanent && !wantedNeighbours.delete(neighbourKey(entry)),
  );
  return {
    additions: {
      forwarding: [...wantedFdb.values()].map((it) => step({ op: "fdb.replace", dev, ...it }, PEERS)),
      neighbours: [...wantedNeighbours.values()].map((it) =>
        step({ op: "neigh.replace", dev, ...it }, PEERS),
      ),
    },
    deletions: {
      // What `replace` overwrites is gone already.
      forwarding: staleFdb
        .filter(({ mac }) => !wantedMacs.has(mac))
        .map((it) => step({ op: "fdb.del", dev, ...it }, GONE)),
      neighbours: staleNeighbours
        .filter(({ address }) => !wantedAddresses.has(formatAddress(address)))
        .map(({ address, mac }) => step({ op: "neigh.del", dev, address, mac }, GONE)),
    },
  };
}

function fdbKey({ mac, dst }: ObservedFdb): string {
  return `${mac} ${formatAddress(dst)}`;
}

function neighbourKey({ address, mac }: Pick<ObservedNeighbour, "address" | "mac">): string {
  return `${formatAddress(address)} ${mac}`;
}

/** The steps that remove the devices of another backend; `observed`: all links by these names that are VXLAN devices. */
export function planTunnelRemoval(observed: readonly ObservedLink[]): Plan {
  const names = new Set<string>(Object.values(TUNNEL_NAMES));
  return observed
    .filter(({ name, kind }) => names.has(name) && kind === "vxlan")
    .map(({ name }): Step => ({ op: "link.del", name, netns: HOST, why: "VXLAN device of another backend" }));
}

/** What the log calls a device. */
export function formatTunnel({ link, addresses }: TunnelDevice): string {
  const own = addresses.map(formatPrefix).join(" ");
  return `${link.name} vni ${link.vni} port ${link.port} local ${formatAddress(link.local)} mtu ${link.mtu} addresses ${own}`;
}
