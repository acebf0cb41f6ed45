import { FAMILIES } from "../../../net/address.ts";
import { runChild } from "../child.ts";
import type { Context } from "../context.ts";
import { type Contestant, single, summarise, takeTurns } from "../turns.ts";
import type { ColdReport } from "./cold.ts";
import { ENGINES, REFERENCE, SUBJECTS } from "./engines.ts";
import { nameRoutes, nodesOf } from "./scenario.ts";

/** Part of a scenario's time that is enough: fresh processes differ by more than time would mend. */
const SHARE = 0.35;

/**
 * The first diff of fresh processes with equal tables of so many routes (dual stack, an even number), engines in turns:
 * `first diff` from before the engine is loaded, `whole process` from the start of the process to its end, as whoever
 * started it sees it. Throws HostError when a process fails.
 */
export async function measureCold(context: Context, routes: number): Promise<void> {
  const { effort, isStopped, keep, tell } = context;
  const scenario = `${nameRoutes(nodesOf(routes, FAMILIES), FAMILIES)}, fresh process`;
  tell(scenario);
  const contestants = ENGINES.map(
    (engine): Contestant => ({
      subject: SUBJECTS[engine],
      turn: async () => {
        const { stdout, wholeMs } = await runChild(context, [
          "cold-routes",
          ...["--engine", engine],
          ...["--routes", String(routes)],
        ]);
        const { firstDiffMs }: ColdReport = JSON.parse(stdout);
        return { "first diff": single(firstDiffMs), "whole process": single(wholeMs) };
      },
    }),
  );
  const limits = { least: effort.least, most: effort.most, withinMs: effort.scenarioMs * SHARE };
  const units = { "first diff": "ms", "whole process": "ms" } as const;
  await takeTurns(contestants, limits, isStopped, (taken) =>
    keep(summarise({ suite: "routes", scenario }, taken, { units, references: [REFERENCE] })),
  );
}
