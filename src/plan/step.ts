import type { Address, Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/** Where a step happens: the namespace we were started in, or the one at this path. */
export type NetnsPath = string;
export const HOST = "";

/** Route protocol number that marks a route as ours (DESIGN §5 "Ownership"). */
export const ROUTE_PROTOCOL = 157;

/** One end of a veth pair, a bridge, an ifb or a VXLAN device (learning off), as it is born. `mtu` in bytes. */
export type NewLink =
  | {
      readonly kind: "bridge";
      readonly name: string;
      readonly mac?: string;
      readonly mtu?: number;
      /** Ports carry VLANs of their own; absent: the bridge is one broadcast domain. */
      readonly vlanFiltering?: true;
    }
  | {
      readonly kind: "veth";
      readonly name: string;
      readonly mac?: string;
      readonly mtu?: number;
      /** The other end; born in `netns` (a path; HOST: the same namespace), so it never needs to move. */
      readonly peer: {
        readonly name: string;
        readonly mac?: string;
        readonly mtu?: number;
        readonly netns: NetnsPath;
      };
    }
  /** Takes what another link receives, so that it can be queued (bandwidth towards the node). */
  | { readonly kind: "ifb"; readonly name: string; readonly mac?: string; readonly mtu?: number }
  | {
      readonly kind: "vxlan";
      readonly name: string;
      readonly mac: string;
      readonly mtu: number;
      /** VXLAN network identifier, 24 bits. */
      readonly vni: number;
      /** UDP port of the outer packets. */
      readonly port: number;
      /** Source of the outer packets; its family is that of the underlay. */
      readonly local: Address;
    };

/** What `ip link set` can change on an existing link. */
export interface LinkSettings {
  readonly up?: boolean;
  readonly master?: string;
  readonly mtu?: number;
  readonly mac?: string;
  readonly promisc?: boolean;
  /** Takes every multicast frame (IFF_ALLMULTI). */
  readonly allmulti?: boolean;
  /** Packets that the link's queue holds. */
  readonly txQueueLength?: number;
  /** Text that `ip link` shows with the link, at most 255 bytes (IFALIASZ with its closing zero is 256). */
  readonly alias?: string;
  /** "none": no link-local IPv6 address is made (a bridge port needs none). */
  readonly addrgenmode?: "none";
  /** Bridge port flags; the link must have its master already. */
  readonly port?: { readonly hairpin?: boolean; readonly isolated?: boolean };
  /** Of a bridge that is there already; not together with `port`. */
  readonly vlanFiltering?: boolean;
}

/** One VLAN of a bridge port. `pvid`: what comes in untagged belongs to it; `untagged`: its frames go out without tag. */
export interface PortVlan {
  readonly dev: string;
  readonly vid: number;
  readonly pvid?: boolean;
  readonly untagged?: boolean;
  /** Of the bridge device itself instead of a port. */
  readonly self?: boolean;
}

/** What a route is when it is no ordinary one, as `ip route` names it (RTN_… of rtnetlink). */
export type RouteType =
  | "local"
  | "broadcast"
  | "anycast"
  | "multicast"
  | "blackhole"
  | "unreachable"
  | "prohibit"
  | "throw";

/** A route; `via` absent: on-link. `metric` as in `ip route`. */
export interface RouteSpec {
  readonly dst: Prefix;
  /** Absent: an ordinary route. */
  readonly type?: RouteType;
  readonly via?: Address;
  /** Empty: no link is named (a blackhole of IPv4 has none). */
  readonly dev: string;
  readonly protocol?: number;
  readonly metric?: number;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly table?: number;
  readonly scope?: "global" | "link" | "host";
  /** The gateway need not be in a connected prefix. */
  readonly onlink?: boolean;
}

/**
 * A token bucket at the root of a link's queue (`tc qdisc add … root handle 1: tbf`): what the link sends goes at most
 * at `rate` bytes per second, after `burst` bytes at any speed; `limit` bytes wait, the rest is dropped.
 */
export interface TokenBucket {
  readonly dev: string;
  readonly rate: number;
  readonly burst: number;
  readonly limit: number;
}

/** iptables over nf_tables, or over the older x_tables; a machine may have rules in both. */
export type IptablesVariant = "nft" | "legacy";

/**
 * Changes of files, by absolute paths; none follows a symbolic link at the path it changes. `file.install`: a copy of
 * `from` by temp file (`<to>.tmp`), fsync and rename in the same folder, so that a running program is replaced too.
 * `file.launcher`: the same with the launcher of ours, whose bytes the step brings along.
 * `file.link`: symbolic (`target` as it is written into the link) or a second name of the file `target`; refuses a path
 * that exists. `file.rename` refuses an existing `to`. `file.remove`: no error when it is gone. `folder.remove`: only
 * an empty one; gone is fine.
 */
export type FileOperation =
  | { readonly op: "file.install"; readonly from: string; readonly to: string; readonly mode: number }
  | { readonly op: "file.launcher"; readonly content: Uint8Array; readonly to: string; readonly mode: number }
  | {
      readonly op: "file.link";
      readonly path: string;
      readonly target: string;
      readonly kind: "symbolic" | "hard";
    }
  | { readonly op: "file.rename"; readonly from: string; readonly to: string }
  | { readonly op: "file.remove" | "folder.remove"; readonly path: string };

/** What a step does; typed, never an argv string. */
export type Operation =
  | FileOperation
  | { readonly op: "link.add"; readonly link: NewLink }
  | { readonly op: "link.set"; readonly name: string; readonly set: LinkSettings }
  | { readonly op: "link.del"; readonly name: string }
  | { readonly op: "addr.replace"; readonly dev: string; readonly prefix: Prefix; readonly nodad: boolean }
  | { readonly op: "addr.del"; readonly dev: string; readonly prefix: Prefix }
  | { readonly op: "route.append" | "route.replace" | "route.del"; readonly route: RouteSpec }
  /** The entry of an address, there or not, is empty afterwards: the next packet asks for the MAC. */
  | { readonly op: "neigh.forget"; readonly dev: string; readonly address: Address }
  /** A neighbour entry that never ages (NUD_PERMANENT). */
  | {
      readonly op: "neigh.replace" | "neigh.del";
      readonly dev: string;
      readonly address: Address;
      readonly mac: string;
    }
  /** Where a VXLAN device sends frames for a MAC: `dst` is the outer address. */
  | {
      readonly op: "fdb.replace" | "fdb.del";
      readonly dev: string;
      readonly mac: string;
      readonly dst: Address;
    }
  /** Whether the link may leave checksums to hardware (`ethtool -K … tx-checksum-ip-generic`). */
  | { readonly op: "link.offload"; readonly name: string; readonly txChecksum: boolean }
  | ({ readonly op: "vlan.add" | "vlan.del" } & PortVlan)
  /** Refuses a link whose root queue was set by somebody already. */
  | ({ readonly op: "qdisc.tbf" } & TokenBucket)
  /** Where filters can be hung for what a link receives (`tc qdisc add … handle ffff: ingress`). */
  | { readonly op: "qdisc.ingress"; readonly dev: string }
  /** All that `dev` receives goes to the queue of `to` (an ifb), which hands it back; behind `qdisc.ingress`. */
  | { readonly op: "filter.redirect"; readonly dev: string; readonly to: string }
  /** Adds or deletes a named namespace (`ip netns`), only used by the lab. */
  | { readonly op: "netns.add" | "netns.del"; readonly name: string }
  /** `key` is the path below /proc/sys with `/`; `optional`: a missing file is no error (IPv6 off). */
  | { readonly op: "sysctl.set"; readonly key: string; readonly value: string; readonly optional: boolean }
  /** One `iptables-restore --noflush -w`; `lines` is its input, tables with their COMMIT. */
  | {
      readonly op: "rules.restore";
      readonly family: Family;
      readonly lines: readonly string[];
      /** Which of the two iptables; absent: the one that `iptables-restore` is on this machine. */
      readonly variant?: IptablesVariant;
    }
  /** One `nft -f -`, a single transaction; `lines` is its input. */
  | { readonly op: "rules.nft"; readonly lines: readonly string[] };

/** One typed operation with its namespace, the reason a reader sees, and how it is taken back. */
export type Step = Operation & {
  readonly netns: NetnsPath;
  readonly why: string;
  readonly undo?: Operation;
  /**
   * The kernel does it as a whole or says no: refused, it has made nothing, and what bears the name is somebody else's,
   * so that `undo` must not run for it. Absent: the failed step may be half done. A step that was killed before it
   * answered is neither.
   */
  readonly isAtomic?: true;
};

/** Ordered changes; an empty plan means that nothing has to change. */
export type Plan = readonly Step[];
