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
}

/** One address on a link. */
export interface ObservedAddress {
  readonly prefix: Prefix;
  readonly linkLocal: boolean;
}
