import * as v from "valibot";

/** A network that somebody chose, and where that stands. */
const ChosenSchema = v.object({ cidr: v.string(), from: v.string() });

/** Who has which networks: pod CIDRs, cluster CIDRs, service CIDRs, and this machine's links. All prefixes as text. */
export const CidrsSchema = v.object({
  /** Name of the own Node; null: not known. */
  self: v.nullable(v.string()),
  /** Why there is no list of Nodes; null: there is one. */
  noNodes: v.nullable(v.string()),
  /** Nodes that contradict nobody. */
  nodes: v.array(
    v.object({ name: v.string(), podCidrs: v.array(v.string()), addresses: v.array(v.string()) }),
  ),
  /** Nodes that were left out. */
  faults: v.array(v.object({ node: v.string(), message: v.string() })),
  /** Empty: nobody chose any, so that they are the pod CIDRs of all Nodes. */
  clusterCidrs: v.array(ChosenSchema),
  serviceCidrs: v.array(ChosenSchema),
  /** Addresses of services as kube-proxy's rules have them; `from`: the rule, or the service. */
  serviceAddresses: v.array(v.object({ address: v.string(), from: v.string() })),
  /** Why the rules of kube-proxy could not be looked at; null: they could. */
  noRules: v.nullable(v.string()),
  /** Networks of the links of this machine that are not ours: no loopback, no link-local ones. */
  links: v.array(v.object({ name: v.string(), prefix: v.string() })),
  /** Networks of the bridges that are ours. */
  bridges: v.array(v.object({ name: v.string(), prefix: v.string() })),
});
export type Cidrs = v.InferOutput<typeof CidrsSchema>;
