import { FAMILIES } from "../../../net/address.ts";
import type { RouteDiffFactory } from "../../../plan/route-changes.ts";
import { describeCluster, dumpOf, packRoutes } from "./cluster.ts";

/** What a command line calls the engines. */
export const COLD_ENGINES = ["wasm", "twin", "map"] as const;
export type ColdEngine = (typeof COLD_ENGINES)[number];

/** What a fresh process prints. */
export interface ColdReport {
  /** From before the engine's module is loaded to its first answer, in milliseconds. */
  readonly firstDiffMs: number;
}

// Imported no earlier than they are measured: this module must not depend on them.
const IMPORTS: Readonly<Record<ColdEngine, () => Promise<RouteDiffFactory>>> = {
  wasm: async () => (await import("../../../wasm/routes.ts")).createRouteDiff,
  twin: async () => (await import("./twin.ts")).createTwinRouteDiff,
  map: async () => (await import("./map.ts")).createMapRouteDiff,
};

/**
 * The first diff of this process, of two dual-stack tables that are equal; `routes`: desired ones, an even number. Its
 * caller must not have loaded an engine. Returns a {@link ColdReport} as one line of JSON. Throws an Error when the
 * engine finds a difference.
 */
export async function runColdRoutes(engine: ColdEngine, routes: number): Promise<string> {
  const desired = packRoutes(describeCluster(routes / 2 + 1, FAMILIES), 2);
  const observed = dumpOf(desired);
  const began = performance.now();
  const create = await IMPORTS[engine]();
  const { upserts, deletions, conflicts } = create().diff(desired, observed);
  const firstDiffMs = performance.now() - began;
  const found = upserts.length + deletions.length + conflicts.length;
  if (found > 0) throw new Error(`${engine}: ${found / 2} changes between equal tables`);
  const report: ColdReport = { firstDiffMs };
  return JSON.stringify(report);
}
