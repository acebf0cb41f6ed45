import * as v from "valibot";

const TimeSchema = v.string();
const FaultSchema = v.nullable(v.string());

/** The agent of this node: whether it lives, and what it last said of itself. Times are RFC 3339. */
export const AgentSchema = v.object({
  /** When this was looked at: ages are told by it. */
  lookedAt: TimeSchema,
  /**
   * `silent`: it has told nothing lately; `dead`: it ended without a word; `absent`: none has told anything in this boot;
   * `unknown`: what it told can't be read.
   */
  life: v.picklist(["running", "silent", "stopped", "dead", "absent", "unknown"]),
  /** Whether a process holds the lock of a running agent; null: can't be seen. */
  isLocked: v.nullable(v.boolean()),
  /** The agent's process, as seen from here; null: none can be seen. */
  process: v.nullable(v.object({ pid: v.number(), words: v.string() })),
  /** Path of what the agent tells. */
  path: v.string(),
  /** Why nothing can be read there; null where there is a report. */
  fault: FaultSchema,
  /** Path of the agent's own conflist, by which a runtime gives pods to us; null: there is none. */
  conflist: v.nullable(v.string()),
  node: v.nullable(v.string()),
  report: v.nullable(
    v.object({
      version: v.string(),
      startedAt: TimeSchema,
      writtenAt: TimeSchema,
      stoppedAt: v.nullable(TimeSchema),
      nodes: v.object({
        source: v.string(),
        isLive: v.boolean(),
        heardAt: v.nullable(TimeSchema),
        known: v.number(),
        fault: FaultSchema,
      }),
      readiness: v.array(v.object({ name: v.string(), fault: FaultSchema })),
      loops: v.array(v.object({ name: v.string(), fault: FaultSchema })),
      lastSyncAt: v.nullable(TimeSchema),
      resyncPeriodMs: v.number(),
      /** Oldest first. */
      repairs: v.array(
        v.object({
          at: TimeSchema,
          object: v.string(),
          cause: v.string(),
          count: v.number(),
          change: v.string(),
        }),
      ),
    }),
  ),
});
export type Agent = v.InferOutput<typeof AgentSchema>;
