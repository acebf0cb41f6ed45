import * as v from "valibot";

/** What the API says of our own Node, against what is so here. */
export const OwnNodeSchema = v.object({
  node: v.string(),
  /** `kubeconfig /path`, `file /path`, … */
  source: v.string(),
  /** Null: the Node has no such condition. */
  ready: v.nullable(v.picklist(["True", "False", "Unknown"])),
  networkUnavailable: v.nullable(v.picklist(["True", "False", "Unknown"])),
  /** `key=value:Effect`. */
  taints: v.array(v.string()),
  agent: v.nullable(
    v.object({
      /** It lives, and told so lately. */
      isRunning: v.boolean(),
      /** Which of its readiness conditions do not hold, and why. */
      faults: v.array(v.string()),
      /** MINICNI_NODE_CONDITION: it keeps NetworkUnavailable=False itself. */
      keepsCondition: v.boolean(),
    }),
  ),
});
export type OwnNode = v.InferOutput<typeof OwnNodeSchema>;
