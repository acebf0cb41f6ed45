import { HostError } from "../../../host/errors.ts";
import { FAMILIES } from "../../../net/address.ts";
import type { Context } from "../context.ts";
import { type Contestant, single, summarise, takeTurns } from "../turns.ts";
import type { ColdReport } from "./cold.ts";
import { ENGINES, REFERENCE, SUBJECTS } from "./engines.ts";
import { nameRoutes, nodesOf } from "./scenario.ts";

/** A fresh process is done within a second; this is for a machine that hangs. */
const TIMEOUT_MS = 60_000;
/** Part of a scenario's time that is enough: fresh processes differ by more than time would mend. */
const SHARE = 0.35;

/**
 * The first diff of fresh processes with equal tables of so many routes (dual stack, an even number), engines in turns:
 * `first diff` from before the engine is loaded, `whole process` from the start of the process to its end, as whoever
 * started it sees it. Throws HostError when a process fails.
 */
export async function measureCold(context: Context, routes: number): Promise<void> {
  const { effort, host, isStopped, keep, self, tell } = context;
  const scenario = `${nameRoutes(nodesOf(routes, FAMILIES), FAMILIES)}, fresh process`;
  tell(`${scenario}`);
  const contestants = ENGINES.map(
    (engine): Contestant => ({
      subject: SUBJECTS[engine],
      turn: async () => {
        const argv = [...self, "bench", "cold-routes", "--engine", engine, "--routes", String(routes)];
        const began = performance.now();
        const { exitCode, stdout, stderr } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
        const wholeMs = performance.now() - began;
        if (exitCode !== 0) {
          throw new HostError(`\`${argv.join(" ")}\` failed: ${stderr.trim()}`, "see what it said");
        }
        const { firstDiffMs }: ColdReport = JSON.parse(stdout);
        return { "first diff": single(firstDiffMs), "whole process": single(wholeMs) };
      },
    }),
  );
  const limits = { least: effort.least, most: effort.most, withinMs: effort.scenarioMs * SHARE };
  const taken = await takeTurns(contestants, limits, isStopped);
  const units = { "first diff": "ms", "whole process": "ms" } as const;
  keep(summarise({ suite: "routes", scenario }, taken, { units, references: [REFERENCE] }));
}
