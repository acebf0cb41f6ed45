import type { Family } from "../../../net/address.ts";
import { runChild } from "../child.ts";
import type { Context } from "../context.ts";
import { type Contestant, type Metrics, summarise, type Turn, takeTurns } from "../turns.ts";
import { DIFF_CASES } from "./diff-cases.ts";
import { ENGINES, REFERENCE, SUBJECTS } from "./engines.ts";
import { nameRoutes } from "./scenario.ts";
import { type WarmTask, WITH_PARSING } from "./warm-turn.ts";

/** Part of a scenario's time that is enough here, where there are many scenarios. */
const SHARE = 0.2;
/** What has to do in a hurry. */
const QUICK_CASES: ReadonlySet<string> = new Set(["nothing changed", "1 % changed"]);
/** Who parses, the same for all engines. */
const PARSER = "minicni";

/** Runs one turn, in a process of its own. */
export type WarmRunner = (task: WarmTask) => Promise<Turn>;

/**
 * The three engines in each case of one cluster size, warm: `diff` with both tables given, `parse` (a dump's bytes to a
 * table) alone, and `parse + diff`. Throws HostError when a process fails, as it does when an engine finds something
 * else than it must.
 */
export async function measureDiff(
  context: Context,
  nodes: number,
  families: readonly Family[],
  run: WarmRunner = (task) => runProcess(context, task),
): Promise<void> {
  for (const name of DIFF_CASES) {
    if (context.isStopped()) return;
    if (context.effort.isQuick && !QUICK_CASES.has(name)) continue;
    const task = { nodes, families, name, turnMs: context.effort.turnMs };
    const contestants: Contestant[] = ENGINES.map((engine) => ({
      subject: SUBJECTS[engine],
      turn: () => run({ ...task, what: engine }),
    }));
    if (WITH_PARSING.has(name)) {
      contestants.push({ subject: PARSER, turn: () => run({ ...task, what: "parse" }) });
    }
    const units = { diff: "µs", parse: "µs", "parse + diff": "µs" } as const;
    await take(context, `${nameRoutes(nodes, families)}, ${name}`, contestants, units);
  }
}

/** A NodeList's text to the table of desired routes. Throws HostError when a process fails. */
export async function measureNodeList(
  context: Context,
  nodes: number,
  families: readonly Family[],
  run: WarmRunner = (task) => runProcess(context, task),
): Promise<void> {
  const task = { what: "list", nodes, families, name: "", turnMs: context.effort.turnMs } as const;
  const contestants = [{ subject: PARSER, turn: () => run(task) }];
  const scenario = `${nameRoutes(nodes, families)}, nodes read`;
  await take(context, scenario, contestants, { "NodeList parsed and packed": "ms" });
}

async function take(
  { effort, isStopped, keep, tell }: Context,
  scenario: string,
  contestants: readonly Contestant[],
  units: Metrics["units"],
): Promise<void> {
  tell(scenario);
  const limits = { least: effort.least, most: effort.most, withinMs: effort.scenarioMs * SHARE };
  await takeTurns(contestants, limits, isStopped, (taken) =>
    keep(summarise({ suite: "routes", scenario }, taken, { units, references: [REFERENCE] })),
  );
}

/** Throws HostError when the process fails. */
async function runProcess(context: Context, task: WarmTask): Promise<Turn> {
  const { stdout } = await runChild(context, ["warm-routes"], { stdin: JSON.stringify(task) });
  const turn: Turn = JSON.parse(stdout);
  return turn;
}
