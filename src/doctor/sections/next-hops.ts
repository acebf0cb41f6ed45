import * as v from "valibot";

/** How the kernel would reach each peer's node addresses, and whether the next hops answer. */
export const NextHopsSchema = v.object({
  peers: v.array(
    v.object({
      name: v.string(),
      address: v.string(),
      /** `status` of its Ready condition; null: not told. */
      ready: v.nullable(v.picklist(["True", "False", "Unknown"])),
      /** Null: no way. `gateway` null: the address is on the link itself. */
      route: v.nullable(v.object({ gateway: v.nullable(v.string()), dev: v.string(), isLocal: v.boolean() })),
    }),
  ),
  /** Entries of the neighbour table of those next hops. `state`: as `ip neigh` has it, `INCOMPLETE` only where it stayed so. */
  neighbours: v.array(
    v.object({ dev: v.string(), address: v.string(), mac: v.nullable(v.string()), state: v.string() }),
  ),
  /** Those that had failed were asked once more: else they may be back since. */
  isAsked: v.boolean(),
  /** Links of ours, over which no node address should lead. */
  ours: v.array(v.string()),
});
export type NextHops = v.InferOutput<typeof NextHopsSchema>;
