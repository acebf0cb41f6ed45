import * as v from "valibot";

/** Whose machine this node is, and whether its peers are reached without a tunnel. */
export const CloudSchema = v.object({
  /** Files of /sys/class/dmi/id; empty: there is none, or it can't be read. */
  dmi: v.object({
    sys_vendor: v.string(),
    product_name: v.string(),
    product_version: v.string(),
    chassis_asset_tag: v.string(),
    /** On EC2 the instance's ID. */
    board_asset_tag: v.string(),
  }),
  /** Null: not known. */
  node: v.nullable(v.string()),
  /** The agent's; null: none has run here. */
  backend: v.nullable(v.picklist(["auto", "host-gw", "vxlan"])),
  /** Names of peers that are reached by direct routes. */
  direct: v.array(v.string()),
});
export type Cloud = v.InferOutput<typeof CloudSchema>;
