import { FAMILIES } from "../../../net/address.ts";
import { describeCluster, dumpOf, packRoutes } from "./cluster.ts";
import { type EngineName, loadEngine } from "./engines.ts";

/** What a fresh process prints. */
export interface ColdReport {
  /** From before the engine's module is loaded to its first answer, in milliseconds. */
  readonly firstDiffMs: number;
}

/**
 * The first diff of this process, of two dual-stack tables that are equal; `routes`: desired ones, an even number. Its
 * caller must not have loaded an engine. Returns a {@link ColdReport} as one line of JSON. Throws an Error when the
 * engine finds a difference.
 */
export async function runColdRoutes(engine: EngineName, routes: number): Promise<string> {
  const desired = packRoutes(describeCluster(routes / 2 + 1, FAMILIES), 2);
  const observed = dumpOf(desired);
  const began = performance.now();
  const create = await loadEngine(engine);
  const { upserts, deletions, conflicts } = create().diff(desired, observed);
  const firstDiffMs = performance.now() - began;
  const found = upserts.length + deletions.length + conflicts.length;
  if (found > 0) throw new Error(`${engine}: ${found / 2} changes between equal tables`);
  const report: ColdReport = { firstDiffMs };
  return JSON.stringify(report);
}
