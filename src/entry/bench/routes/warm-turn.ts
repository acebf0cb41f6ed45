import { formatNodeList, parseNodeList } from "../../../kube/nodelist.ts";
import type { Family } from "../../../net/address.ts";
import type { Turn } from "../turns.ts";
import { describeCluster, packRoutes } from "./cluster.ts";
import { describeDiffCases } from "./diff-cases.ts";
import { encodeDump, parseDump } from "./dump.ts";
import { type EngineName, loadEngine } from "./engines.ts";
import { timeCalls, warmUp } from "./timing.ts";

/** What one process is to measure, in a cluster of so many nodes. */
export interface WarmTask {
  /** An engine's diff, without and with the parsing of the kernel's dump; that parsing alone; a NodeList's text. */
  readonly what: EngineName | "parse" | "list";
  readonly nodes: number;
  readonly families: readonly Family[];
  /** Name of the case; see `describeDiffCases`. */
  readonly name: string;
  readonly turnMs: number;
}

/** Cases that are measured with the parsing of the kernel's dump as well: 0 %, 1 % and 100 % changed. */
export const WITH_PARSING: ReadonlySet<string> = new Set(["nothing changed", "1 % changed", "all changed"]);
/** tinybench counts in milliseconds. */
const US = 1_000;

/**
 * Measures one thing, warm, in the process we are in. It should be its only one: code that has seen other engines or
 * other sizes is compiled to something else. Throws an Error when what is measured finds something wrong.
 */
export async function takeWarmTurn(task: WarmTask): Promise<Turn> {
  if (task.what === "list") return await readList(task);
  const { nodes, families, name, turnMs } = task;
  const found = describeDiffCases(nodes, families).find((other) => other.name === name);
  if (found === undefined) throw new RangeError(`no case is called ${name}`);
  const { changes, observed, run } = found;
  if (task.what === "parse") {
    const dump = encodeDump(observed);
    const parse = () => parseDump(dump);
    warmUp(parse, turnMs);
    return { parse: await timeCalls(parse, turnMs, US) };
  }
  const engine = (await loadEngine(task.what))();
  const check = ({ upserts, deletions, conflicts }: ReturnType<typeof run>) => {
    if (upserts.length / 2 !== changes || deletions.length + conflicts.length > 0)
      throw new Error(`${task.what}, ${name}: ${upserts.length / 2} changes, wanted ${changes}`);
  };
  const diff = () => run(engine);
  check(diff());
  warmUp(diff, turnMs);
  const turn: Turn = { diff: await timeCalls(diff, turnMs, US) };
  if (!WITH_PARSING.has(name)) return turn;
  const dump = encodeDump(observed);
  const both = () => run(engine, parseDump(dump));
  check(both());
  warmUp(both, turnMs);
  return { ...turn, "parse + diff": await timeCalls(both, turnMs, US) };
}

/** The other side of a diff: the text of a NodeList to Nodes, and those to the table of desired routes. */
async function readList({ nodes, families, turnMs }: WarmTask): Promise<Turn> {
  const text = formatNodeList(describeCluster(nodes, families));
  const read = () => packRoutes(parseNodeList(text).nodes, 2);
  const { count } = read();
  if (count !== (nodes - 1) * families.length) throw new Error(`a list of ${nodes} nodes: ${count} routes`);
  warmUp(read, turnMs);
  return { "NodeList parsed and packed": await timeCalls(read, turnMs, 1) };
}

/** {@link takeWarmTurn} for a process of its own: a task as JSON to its turn as JSON. */
export async function runWarmRoutes(task: string): Promise<string> {
  const parsed: WarmTask = JSON.parse(task);
  return JSON.stringify(await takeWarmTurn(parsed));
}
