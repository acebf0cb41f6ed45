import * as v from "valibot";

const family = v.picklist([4, 6]);

/** What the API says are this node's addresses, and what its links have. */
export const NodeAddressesSchema = v.object({
  /** Name of the own Node; null: not known. */
  self: v.nullable(v.string()),
  /** InternalIPs of the own Node, in its order; null: not known, and `unknown` says why. */
  internalIps: v.nullable(v.array(v.string())),
  unknown: v.nullable(v.string()),
  /** Where the Nodes are from; false: what was kept on disk. */
  source: v.nullable(v.string()),
  isLive: v.boolean(),
  /** All links with an address, IPv6 link-local ones left out; `isOurs`: a pod's, our bridge, our tunnel. */
  links: v.array(
    v.object({ name: v.string(), isUp: v.boolean(), isOurs: v.boolean(), addresses: v.array(v.string()) }),
  ),
  /** Default routes of the main table. */
  defaults: v.array(
    v.object({ family, dev: v.string(), via: v.nullable(v.string()), metric: v.nullable(v.number()) }),
  ),
  /** How many peers' addresses are on the network of which link itself, without a gateway. */
  peersOn: v.array(v.object({ family, dev: v.string(), count: v.number(), example: v.string() })),
  /** The source addresses of our tunnel devices. */
  tunnels: v.array(v.object({ name: v.string(), local: v.nullable(v.string()) })),
  /** `--node-ip` of the kubelet, where a file says it. */
  nodeIp: v.nullable(v.object({ text: v.string(), path: v.string() })),
});
export type NodeAddresses = v.InferOutput<typeof NodeAddressesSchema>;
