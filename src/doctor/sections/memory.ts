import * as v from "valibot";

/** The memory of the agent's cgroup; null: no agent runs here that can be seen. */
export const MemorySchema = v.nullable(
  v.object({
    pid: v.number(),
    /** The agent's own cgroup, or that of its pod or service: of these the one that is nearest to its limit. */
    cgroup: v.string(),
    /** Whose limit it is: a pod's, a service's of systemd by name; null: somebody else's. */
    owner: v.nullable(v.string()),
    /** Bytes; null: no limit. */
    limit: v.nullable(v.number()),
    /** Bytes in use, page cache included. */
    used: v.number(),
    /** Of these, what the kernel takes back before it kills (inactive file pages). */
    reclaimable: v.number(),
    /** Processes that the kernel killed for want of memory, in the pod's or service's cgroup where it tells, else in the agent's. */
    kills: v.number(),
  }),
);
export type Memory = v.InferOutput<typeof MemorySchema>;
