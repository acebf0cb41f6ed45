import * as v from "valibot";

const VariantSchema = v.picklist(["nft", "legacy"]);

/** The programs that the network is made and looked at with, and in which iptables its rules are. */
export const ProgramsSchema = v.object({
  /** Those that are looked for; `path` null: not on the PATH; `version`: its first line, null where it does not say. */
  found: v.array(
    v.object({ name: v.string(), path: v.nullable(v.string()), version: v.nullable(v.string()) }),
  ),
  /** What the plain `iptables` is; null: there is none. */
  plain: v.nullable(VariantSchema),
  /** Chains of kubelet and kube-proxy, of ours, and the number of all rules, by variant that can be looked at. */
  variants: v.array(
    v.object({
      variant: VariantSchema,
      kube: v.array(v.string()),
      ours: v.array(v.string()),
      rules: v.number(),
      /** Families with such chains. */
      families: v.array(v.picklist([4, 6])),
    }),
  ),
  /** Where the agent has its rules; null: it does not say. */
  agent: v.nullable(VariantSchema),
  /** They are those of a container's image, not the node's: what the plain `iptables` is says nothing of the node. */
  isImage: v.boolean(),
  /** What could not be looked at. */
  unseen: v.array(v.string()),
});
export type Programs = v.InferOutput<typeof ProgramsSchema>;
