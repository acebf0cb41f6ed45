import * as v from "valibot";

/** NetworkPolicies of the cluster, and those who might enforce them that no other section has. */
export const PoliciesSchema = v.object({
  /** How many the API has; null: it could not be asked, `unasked`. */
  count: v.nullable(v.number()),
  /** `namespace/name` of one of them. */
  example: v.nullable(v.string()),
  unasked: v.nullable(v.string()),
  /** Tables of nftables by their names, `inet kube-network-policies`; null: they could not be seen. */
  tables: v.nullable(v.array(v.string())),
  /** Names of processes that enforce policies. */
  programs: v.array(v.string()),
});
export type Policies = v.InferOutput<typeof PoliciesSchema>;
