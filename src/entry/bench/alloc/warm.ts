import { runChild } from "../child.ts";
import type { Context } from "../context.ts";
import { summarise, type Taken, type Turn, takeTurns } from "../turns.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import type { WarmTask, WarmTurn } from "./warm-turn.ts";
import { FULLNESSES, LENGTHS, nameRange } from "./workload.ts";

/** Runs one turn of an engine, in a process of its own. */
export type WarmRunner = (task: WarmTask) => Promise<WarmTurn>;

/** Times of one metric, as parts of a turn's time. */
const WARM_PART = 1.5;
const MEASURE_PART = 1 / 3;
/** All scenarios together take about four minutes then. */
const LONGEST_MS = 18_000;
/** What has to do in a hurry. */
const QUICK_RANGES = [
  [24, 0.999],
  [16, 0],
  [16, 0.999],
] as const;
/** Metrics by text are kept apart by this, until they get a scenario of their own. */
const TEXT = "text: ";

const NOTES = [
  "Allocators: each turn is a fresh process with one engine in it, warmed up. Side by side in one process, each is slower for the others: calls to a second WASM instance take ten times as long.",
  "Allocators: in a /24 at 99 % and 99.9 % (3 free addresses, 1 free address) each allocation is timed together with its release; there are too few to time many in a row.",
  "Allocators: a Set knows its size; the bitmaps count their ones.",
];

/** Allocation and release by all engines, in ranges of all sizes and states; addresses as slots, and as text. */
export async function measureWarm(
  context: Context,
  run: WarmRunner = (task) => runProcess(context, task),
): Promise<void> {
  const { effort } = context;
  const all = LENGTHS.flatMap((length) => FULLNESSES.map((fullness) => [length, fullness] as const));
  for (const [length, fullness] of effort.isQuick ? QUICK_RANGES : all) {
    if (context.isStopped()) return;
    await measureRange(context, length, fullness, run);
  }
  for (const note of NOTES) context.note(note);
}

async function measureRange(
  context: Context,
  length: number,
  fullness: number,
  run: WarmRunner,
): Promise<void> {
  const { least, most, scenarioMs, turnMs } = context.effort;
  const name = nameRange(length, fullness);
  context.tell(name);
  const times = { warmMs: turnMs * WARM_PART, measureMs: turnMs * MEASURE_PART };
  let first: { readonly engine: EngineName; readonly given: string } | null = null;
  const contestants = ENGINES.map((engine) => ({
    subject: engine,
    turn: async (): Promise<Turn> => {
      const { slots, texts, given: found } = await run({ engine, length, fullness, ...times });
      // A benchmark of wrong answers says nothing. Ours is the first, whose answers the tests have checked.
      first ??= { engine, given: found.join(" ") };
      if (first.given !== found.join(" ")) {
        throw new Error(`${name}: ${engine} gave other addresses than ${first.engine}`);
      }
      const marked = Object.entries(texts).map(([metric, reading]) => [`${TEXT}${metric}`, reading] as const);
      return { ...slots, ...Object.fromEntries(marked) };
    },
  }));
  const limits = { least, most, withinMs: Math.min(scenarioMs, LONGEST_MS) };
  await takeTurns(contestants, limits, context.isStopped, (taken) => {
    keep(context, name, taken, false);
    keep(context, `${name}, text in and out`, taken, true);
  });
}

/** Keeps the metrics by slots, or those by text. */
function keep(context: Context, scenario: string, taken: Taken, isText: boolean): void {
  const chosen = new Map(
    [...taken].map(([subject, turns]) => [subject, turns.map((turn) => choose(turn, isText))] as const),
  );
  const metrics = Object.keys(chosen.get("WASM")?.[0] ?? {});
  const units = Object.fromEntries(metrics.map((metric) => [metric, "ns"] as const));
  context.keep(summarise({ suite: "alloc", scenario }, chosen, { units, references: ["WASM"] }));
}

function choose(turn: Turn, isText: boolean): Turn {
  const chosen = Object.entries(turn).filter(([metric]) => metric.startsWith(TEXT) === isText);
  return Object.fromEntries(chosen.map(([metric, reading]) => [metric.replace(TEXT, ""), reading]));
}

/** Throws HostError when the process fails. */
async function runProcess(context: Context, task: WarmTask): Promise<WarmTurn> {
  const { stdout } = await runChild(context, ["warm-alloc"], { stdin: JSON.stringify(task) });
  const turn: WarmTurn = JSON.parse(stdout);
  return turn;
}
