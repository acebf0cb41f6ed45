import * as v from "valibot";

/** The table of tracked connections; null where the kernel tracks none. */
export const ConntrackSchema = v.nullable(
  v.object({
    /** `net.netfilter.nf_conntrack_max`: of all namespaces together. */
    max: v.number(),
    /** Entries of this namespace. */
    count: v.number(),
    /** Packets that were dropped since the table was full or an entry early in it, of all processors. */
    drops: v.number(),
  }),
);
export type Conntrack = v.InferOutput<typeof ConntrackSchema>;
