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
  /** Whether a bridge filters by VLAN; null for any other kind. */
  readonly vlanFiltering: boolean | null;
  /** IFLA_IFALIAS; empty when it has none. */
  readonly alias: string;
}

/** One address on a link. */
export interface ObservedAddress {
  readonly prefix: Prefix;
  readonly linkLocal: boolean;
}
