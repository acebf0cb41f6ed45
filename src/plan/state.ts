import type { Address } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/** A link as the kernel shows it. `portState` is its bridge port state (3: forwarding), null when it is no port. */
export interface ObservedLink {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, … as rtnetlink names it; empty for a physical device. */
  readonly kind: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  readonly masterIndex: number | null;
  readonly portState: number | null;
  /** Whether the port sends a frame back out of where it came from; null when it is no port. */
  readonly hairpin: boolean | null;
  /** Whether the port is cut off from other isolated ports; null when it is no port. */
  readonly isolated: boolean | null;
  /** Promiscuous by somebody's wish (IFF_PROMISC), not because it is a bridge port. */
  readonly promisc: boolean;
  /** Takes every multicast frame by somebody's wish (IFF_ALLMULTI). */
  readonly allmulti: boolean;
  /** Packets that its queue holds. */
  readonly txQueueLength: number;
  /** Whether a bridge filters by VLAN; null for any other kind. */
  readonly vlanFiltering: boolean | null;
  /** IFLA_IFALIAS; empty when it has none. */
  readonly alias: string;
  /** Null for any other kind; `local` null when none is set. */
  readonly vxlan: {
    readonly vni: number;
    readonly port: number;
    readonly local: Address | null;
    readonly learning: boolean;
  } | null;
}

/** One static entry of a VXLAN device's forwarding database: frames for `mac` go to the outer address `dst`. */
export interface ObservedFdb {
  readonly mac: string;
  readonly dst: Address;
}

/** One neighbour entry; `isPermanent`: it never ages (NUD_PERMANENT), as ours are. */
export interface ObservedNeighbour {
  readonly address: Address;
  readonly mac: string;
  readonly isPermanent: boolean;
}

/** What the kernel would do with a packet to an address (`ip route get`); null in place of it: unreachable. */
export interface RouteLookup {
  /** Null: the address is on the link itself. */
  readonly gateway: Address | null;
  readonly ifindex: number;
  /** The address is one of this machine. */
  readonly isLocal: boolean;
}

/** What shapes the traffic of a link. */
export interface ObservedShaping {
  /** The token bucket at the root of its queue, bytes per second and bytes; null: the root is of another kind. */
  readonly bucket: { readonly rate: number; readonly burst: number; readonly limit: number } | null;
  /** Index of the link whose queue takes all that this one receives; null: it goes its usual way. */
  readonly redirectedTo: number | null;
}

/** One address on a link. */
export interface ObservedAddress {
  readonly prefix: Prefix;
  readonly linkLocal: boolean;
}

/** What is at a path itself, symbolic links not followed. `mode`: permission bits. */
export type ObservedFile =
  | { readonly kind: "file"; readonly bytes: number; readonly mode: number }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "folder" | "other" };
