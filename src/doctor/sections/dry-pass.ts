import * as v from "valibot";

const FamilySchema = v.picklist([4, 6]);

/** What a pass of this node's agent would do now (entry/admin/dry-pass.ts). */
export const DryPassSchema = v.object({
  node: v.string(),
  isLive: v.boolean(),
  steps: v.array(
    v.object({
      op: v.string(),
      part: v.picklist(["network", "rules", "bridge", "files"]),
      command: v.string(),
      why: v.string(),
    }),
  ),
  conflicts: v.array(v.string()),
  withheld: v.number(),
  peers: v.array(v.object({ node: v.string(), message: v.string() })),
  faults: v.array(v.string()),
  routes: v.array(v.object({ family: FamilySchema, desired: v.number(), programmed: v.number() })),
  rules: v.object({
    variant: v.nullable(v.picklist(["nft", "legacy"])),
    changes: v.array(v.object({ family: FamilySchema, chain: v.string(), what: v.string() })),
    faults: v.array(v.string()),
    warnings: v.array(v.string()),
    blocks: v.array(v.string()),
  }),
});
export type DryPassFacts = v.InferOutput<typeof DryPassSchema>;
