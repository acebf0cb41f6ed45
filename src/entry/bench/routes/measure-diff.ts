import { Bench } from "tinybench";
import type { Family } from "../../../net/address.ts";
import type { RouteDiffFactory } from "../../../plan/route-changes.ts";
import { createRouteDiff } from "../../../wasm/routes.ts";
import { describeDiffCases } from "./diff-cases.ts";
import { createMapRouteDiff } from "./map.ts";
import { createTwinRouteDiff } from "./twin.ts";

/** What one engine took for one case, in microseconds for a whole call. */
export interface Timing {
  readonly medianUs: number;
  readonly p99Us: number;
  /** Half of the 95 % confidence interval of the mean, in percent of it. */
  readonly marginPercent: number;
  readonly samples: number;
}

/** One row of the comparison. `routes`: desired ones, of all families. */
export interface DiffRow {
  readonly nodes: number;
  readonly routes: number;
  readonly name: string;
  readonly wasm: Timing;
  /** Plain TypeScript on typed arrays, the same algorithm. */
  readonly twin: Timing;
  /** A Map of strings. */
  readonly map: Timing;
}

/** How long each engine is run for a case, in milliseconds; the first part is not counted. */
export interface Effort {
  readonly warmupMs: number;
  readonly measureMs: number;
}
export const FULL: Effort = { warmupMs: 300, measureMs: 700 };
export const QUICK: Effort = { warmupMs: 30, measureMs: 60 };

const ENGINES = { wasm: createRouteDiff, twin: createTwinRouteDiff, map: createMapRouteDiff } as const;

/** Measures all cases of a cluster size with the three engines. Throws an Error when one of them finds something else. */
export async function measureDiff(
  nodes: number,
  families: readonly Family[],
  effort: Effort,
): Promise<DiffRow[]> {
  const rows: DiffRow[] = [];
  for (const { name, routes, changes, run } of describeDiffCases(nodes, families)) {
    const measure = async (create: RouteDiffFactory): Promise<Timing> => {
      const engine = create();
      const found = run(engine);
      if (found.upserts.length / 2 !== changes || found.deletions.length + found.conflicts.length > 0) {
        throw new Error(`${name}: ${found.upserts.length / 2} changes, wanted ${changes}`);
      }
      return await time(() => run(engine), effort);
    };
    const wasm = await measure(ENGINES.wasm);
    const twin = await measure(ENGINES.twin);
    rows.push({ nodes, routes, name, wasm, twin, map: await measure(ENGINES.map) });
  }
  return rows;
}

async function time(work: () => unknown, { warmupMs, measureMs }: Effort): Promise<Timing> {
  const bench = new Bench({
    warmupTime: warmupMs,
    warmupIterations: 3,
    time: measureMs,
    iterations: 10,
    throws: true,
  });
  const task = bench.add("diff", work).tasks[0];
  await bench.run();
  const result = task?.result;
  if (result?.state !== "completed") throw new Error(`a benchmark ended as ${result?.state}`);
  const { p50, p99, rme, samplesCount } = result.latency;
  return { medianUs: p50 * 1000, p99Us: p99 * 1000, marginPercent: rme, samples: samplesCount };
}
