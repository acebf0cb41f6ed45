import * as v from "valibot";
import { SettingSchema } from "../sysctl-settings.ts";

/** Whether packets of others are passed on, and who says so at the next boot. */
export const ForwardingSchema = v.object({
  /** `net.ipv4.ip_forward`; null: the kernel has no IPv4. */
  ipv4: v.nullable(v.boolean()),
  /** `net.ipv6.conf.all.forwarding`; null: the kernel runs without IPv6. */
  ipv6: v.nullable(v.boolean()),
  /** Families that pods have, or will have: of the pod CIDRs that are known; empty: none known. */
  podFamilies: v.array(v.picklist([4, 6])),
  /** Links that pods' packets come in by, whose own IPv4 forwarding is off although the node's is on. */
  off: v.array(v.string()),
  /** `net.ipv4.conf.default.forwarding`, which new links begin with; null: not told. */
  newLinks: v.nullable(v.boolean()),
  /** Links with a route that the kernel made of a router advertisement. */
  advertised: v.array(
    v.object({
      link: v.string(),
      acceptRa: v.nullable(v.number()),
      /** The link's own `forwarding`, by which the kernel decides whether it listens. */
      isRouter: v.boolean(),
      /** Whether one of its routes is a default route. */
      hasDefault: v.boolean(),
    }),
  ),
  /** Whether there is a default route of IPv6 that came otherwise. */
  hasOtherDefault: v.boolean(),
  /** The lines about these keys, in the order in which they are read. */
  settings: v.array(SettingSchema),
  /** Why the files could not be seen; null when they could. */
  settingsFault: v.nullable(v.string()),
});
export type Forwarding = v.InferOutput<typeof ForwardingSchema>;
