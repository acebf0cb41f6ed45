import type { Address } from "./address.ts";
import type { Prefix } from "./prefix.ts";

/** What the network needs of one Node object. */
export interface ClusterNode {
  readonly name: string;
  /** `spec.podCIDRs`, networks without host bits, in the order of the Node. */
  readonly podCidrs: readonly Prefix[];
  /** The node addresses: `status.addresses` of type InternalIP, in the order of the Node. */
  readonly addresses: readonly Address[];
}

/** What is wrong with one Node: it is left out, and the others are as they would be without it. */
export interface NodeFault {
  readonly node: string;
  readonly message: string;
}

/** All Nodes at one moment, each name once, no two with overlapping pod CIDRs or with one address. */
export interface NodeSnapshot {
  readonly nodes: readonly ClusterNode[];
  readonly faults: readonly NodeFault[];
}
