import { formatNodeList, parseNodeList } from "../../../kube/nodelist.ts";
import type { Family } from "../../../net/address.ts";
import type { Context } from "../context.ts";
import { type Contestant, summarise, type Turn, takeTurns } from "../turns.ts";
import { describeCluster, packRoutes } from "./cluster.ts";
import { type DiffCase, describeDiffCases } from "./diff-cases.ts";
import { encodeDump, parseDump } from "./dump.ts";
import { ENGINES, type Engine, REFERENCE } from "./engines.ts";
import { nameRoutes } from "./scenario.ts";
import { timeCalls, warmUp } from "./timing.ts";

/** tinybench counts in milliseconds. */
const US = 1_000;
/**
 * Part of a scenario's time that is enough here, where there are many scenarios; from so many routes on a call of the
 * slowest engine takes a tenth of a second, and as many turns more time.
 */
const SHARE = { few: 0.2, many: 0.6 } as const;
const MANY_ROUTES = 50_000;
/** Cases that are measured with the parsing of the kernel's dump as well: 0 %, 1 % and 100 % changed. */
const WITH_PARSING: ReadonlySet<string> = new Set(["nothing changed", "1 % changed", "all changed"]);
/** Who parses, the same for all engines. */
const PARSER = "minicni";

/**
 * The three engines in each case of one cluster size, warm: `diff` with both tables given, `parse` (a dump's bytes to a
 * table) alone, and `parse + diff`. Throws an Error when an engine finds something else than it must.
 */
export async function measureDiff(
  context: Context,
  nodes: number,
  families: readonly Family[],
): Promise<void> {
  for (const diffCase of describeDiffCases(nodes, families)) {
    if (context.isStopped()) return;
    const scenario = `${nameRoutes(nodes, families)}, ${diffCase.name}`;
    context.tell(`${scenario}`);
    const contestants: Contestant[] = [];
    for (const engine of ENGINES) contestants.push(await enter(engine, diffCase, context));
    if (WITH_PARSING.has(diffCase.name)) {
      const dump = encodeDump(diffCase.observed);
      const parse = () => parseDump(dump);
      await warmUp(parse, context.effort);
      contestants.push({
        subject: PARSER,
        turn: async () => ({ parse: await timeCalls(parse, context.effort.turnMs, US) }),
      });
    }
    await take(context, scenario, diffCase.routes, contestants, {
      diff: "µs",
      parse: "µs",
      "parse + diff": "µs",
    });
  }
}

/** An engine that has shown that it finds what it must, and is warm. */
async function enter({ subject, create }: Engine, diffCase: DiffCase, context: Context): Promise<Contestant> {
  const { name, changes, observed, run } = diffCase;
  const { effort } = context;
  const engine = create();
  const dump = WITH_PARSING.has(name) ? encodeDump(observed) : null;
  const diff = () => run(engine);
  const both = dump === null ? null : () => run(engine, parseDump(dump));
  for (const work of both === null ? [diff] : [diff, both]) {
    const { upserts, deletions, conflicts } = work();
    if (upserts.length / 2 !== changes || deletions.length + conflicts.length > 0)
      throw new Error(`${subject}, ${name}: ${upserts.length / 2} changes, wanted ${changes}`);
    await warmUp(work, effort);
  }
  return {
    subject,
    turn: async () => {
      const turn: Turn = { diff: await timeCalls(diff, effort.turnMs, US) };
      return both === null ? turn : { ...turn, "parse + diff": await timeCalls(both, effort.turnMs, US) };
    },
  };
}

/** The other side of a diff: the text of a NodeList to Nodes, and those to the table of desired routes. */
export async function measureNodeList(
  context: Context,
  nodes: number,
  families: readonly Family[],
): Promise<void> {
  const scenario = `${nameRoutes(nodes, families)}, nodes read`;
  context.tell(`${scenario}`);
  const text = formatNodeList(describeCluster(nodes, families));
  const read = () => packRoutes(parseNodeList(text).nodes, 2);
  const { count } = read();
  if (count !== (nodes - 1) * families.length) throw new Error(`${scenario}: ${count} routes`);
  await warmUp(read, context.effort);
  const turn = async (): Promise<Turn> => ({
    "NodeList parsed and packed": await timeCalls(read, context.effort.turnMs, 1),
  });
  await take(context, scenario, count, [{ subject: PARSER, turn }], { "NodeList parsed and packed": "ms" });
}

async function take(
  { effort, isStopped, keep }: Context,
  scenario: string,
  routes: number,
  contestants: readonly Contestant[],
  units: Parameters<typeof summarise>[2]["units"],
): Promise<void> {
  const share = routes < MANY_ROUTES ? SHARE.few : SHARE.many;
  const limits = { least: effort.least, most: effort.most, withinMs: effort.scenarioMs * share };
  const taken = await takeTurns(contestants, limits, isStopped);
  keep(summarise({ suite: "routes", scenario }, taken, { units, references: [REFERENCE] }));
}
