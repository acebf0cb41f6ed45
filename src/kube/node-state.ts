import * as v from "valibot";

/** What a person wants to know of a Node beside its network; nothing of it decides about routes. */
export interface NodeState {
  readonly name: string;
  /** Null: the Node has no such condition, as one that is made by hand. */
  readonly ready: "True" | "False" | "Unknown" | null;
  readonly networkUnavailable: "True" | "False" | "Unknown" | null;
  /** `key=value:Effect`. */
  readonly taints: readonly string[];
  /** Of the kubelet; null: not told. */
  readonly version: string | null;
}

const StateSchema = v.object({
  metadata: v.object({ name: v.string() }),
  spec: v.nullish(
    v.object({
      taints: v.nullish(
        v.array(v.object({ key: v.string(), value: v.nullish(v.string()), effect: v.string() })),
      ),
    }),
  ),
  status: v.nullish(
    v.object({
      conditions: v.nullish(v.array(v.object({ type: v.string(), status: v.string() }))),
      nodeInfo: v.nullish(v.object({ kubeletVersion: v.nullish(v.string()) })),
    }),
  ),
});
const STATUSES = ["True", "False", "Unknown"] as const;

/** Reads a raw Node; null for one whose parts are not what the API promises. */
export function parseNodeState(value: unknown): NodeState | null {
  const parsed = v.safeParse(StateSchema, value);
  if (!parsed.success) return null;
  const { metadata, spec, status } = parsed.output;
  const condition = (type: string) => {
    const found = status?.conditions?.find((one) => one.type === type)?.status;
    return STATUSES.find((known) => known === found) ?? null;
  };
  return {
    name: metadata.name,
    ready: condition("Ready"),
    networkUnavailable: condition("NetworkUnavailable"),
    taints: (spec?.taints ?? []).map(({ key, value: of, effect }) => `${key}${of ? `=${of}` : ""}:${effect}`),
    version: status?.nodeInfo?.kubeletVersion ?? null,
  };
}
