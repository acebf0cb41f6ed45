import * as v from "valibot";

const FamilySchema = v.picklist([4, 6]);

/** A chain as `iptables -S` shows it. */
const ChainSchema = v.object({
  name: v.string(),
  /** Null: no built-in chain. */
  policy: v.nullable(v.string()),
  rules: v.array(v.string()),
});

/** What decides on packets that this node forwards. */
export const FirewallSchema = v.object({
  /** Whether pods are here, or an agent was: what is missing is a fault then. */
  isInUse: v.boolean(),
  bridge: v.string(),
  /** Of this node; empty: not known. */
  podCidrs: v.array(v.string()),
  /** Of all Nodes; everything where no Node is known (see `hasNodes`). */
  clusterCidrs: v.array(v.string()),
  /** False: the pod CIDRs are those of the bridge's addresses, and what pods send out is all there is to judge. */
  hasNodes: v.boolean(),
  /** FORWARD of iptables' table `filter` and the chains that it leads to, by family and variant. */
  iptables: v.array(
    v.object({
      family: FamilySchema,
      /** The program that shows them: `iptables-nft`. */
      program: v.string(),
      /** Whether the agent's rules belong there. */
      isOurs: v.boolean(),
      chains: v.array(ChainSchema),
    }),
  ),
  /** Tables of nftables of others, `inet firewalld`; null: nobody could look. */
  tables: v.nullable(v.array(v.string())),
  /** What those tables take from pods for certain. */
  blocks: v.array(
    v.object({
      /** `inet firewalld`. */
      table: v.string(),
      chain: v.string(),
      drop: v.object({ chain: v.string(), text: v.string(), handle: v.nullable(v.number()) }),
      ways: v.array(v.object({ family: FamilySchema, direction: v.picklist(["in", "out"]) })),
    }),
  ),
  /** `net.bridge.bridge-nf-call-ip(6)tables`; null: `br_netfilter` is not loaded. */
  bridgeNf: v.array(v.object({ family: FamilySchema, value: v.nullable(v.number()) })),
  /** Whether kube-proxy has rules here. */
  hasProxy: v.boolean(),
  /** What could not be looked at, with the reason. */
  unseen: v.array(v.string()),
});
export type Firewall = v.InferOutput<typeof FirewallSchema>;
