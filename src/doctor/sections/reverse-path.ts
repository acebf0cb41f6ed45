import * as v from "valibot";
import { SettingSchema } from "../sysctl-settings.ts";

/** Whether the kernel drops packets whose way back would be another one. */
export const ReversePathSchema = v.object({
  /** `net.ipv4.conf.all.rp_filter`: 0 off, 1 strict, 2 loose. */
  all: v.number(),
  links: v.array(
    v.object({
      name: v.string(),
      /** What the link is to the pod network. */
      role: v.picklist(["uplink", "bridge", "tunnel"]),
      value: v.number(),
    }),
  ),
  /** Links by which the node has a default route. */
  uplinks: v.number(),
  /** Packets dropped for it in this network namespace since it was made (TcpExt IPReversePathFilter); null: not told. */
  drops: v.nullable(v.number()),
  /** Whether an agent runs that sets the tunnel's filter to loose whenever it finds it strict. */
  isTended: v.boolean(),
  /** The lines about these keys, in the order in which they are read at boot. */
  settings: v.array(SettingSchema),
  settingsFault: v.nullable(v.string()),
});
export type ReversePath = v.InferOutput<typeof ReversePathSchema>;
