import { inParallel } from "../../lab/parallel.ts";
import type { Context } from "../context.ts";
import type { Unit } from "../measure.ts";
import {
  batch,
  type Contestant,
  single,
  summarise,
  type Turn,
  type TurnLimits,
  takeTurns,
} from "../turns.ts";
import type { Cost } from "./call.ts";
import { FLOOR, type Meter, type Side } from "./side.ts";

/** Ratios are to us and to the least that the kernel work takes. */
const REFERENCES = ["minicni", FLOOR];
/** Metered calls of each side: memory hardly varies. */
const METERED_TURNS = 6;

const TIMES = { ADD: "ms", DEL: "ms", "ADD CPU": "ms", "DEL CPU": "ms" } as const;
const MEMORY = { "ADD peak memory": "MiB", "DEL peak memory": "MiB" } as const;

/** How often calls that take a moment are repeated. */
export function sequentialLimits({ effort }: Context, scenarioMs = effort.scenarioMs): TurnLimits {
  const most = effort.isQuick ? 5 : 300;
  return { least: effort.least, most, withinMs: scenarioMs, steady: ["ADD", "DEL"] };
}

/** Pod number `index` is attached and detached again and again, nothing else happening. */
export async function measureSequential(
  context: Context,
  scenario: string,
  sides: readonly Side[],
  meter: Meter,
  index: number,
  limits = sequentialLimits(context),
): Promise<void> {
  context.tell(scenario);
  await keepTurns(context, scenario, limits, TIMES, sides, async (side) => {
    const add = await side.add(index);
    const del = await side.del(index);
    return {
      ADD: single(add.wallMs),
      DEL: single(del.wallMs),
      "ADD CPU": single(add.cpuMs),
      "DEL CPU": single(del.cpuMs),
    };
  });
  if (meter === null) return;
  const turns = context.effort.isQuick ? 1 : METERED_TURNS;
  const few = { least: turns, most: turns, withinMs: 0 };
  await keepTurns(context, scenario, few, MEMORY, sides, async (side) => {
    const add = await side.add(index, true);
    const del = await side.del(index, true);
    return memoryOf([add], [del]);
  });
}

/** All pods are attached, so many at once, and then detached in the same way. */
export async function measureBurst(
  context: Context,
  sides: readonly Side[],
  meter: Meter,
  pods: number,
  atOnce: number,
  limits: TurnLimits,
): Promise<void> {
  const scenario = `burst of ${pods}, ${atOnce} at once`;
  context.tell(scenario);
  const all = Array.from({ length: pods }, (_, index) => index);
  const run = async (work: (index: number) => Promise<Cost>) => {
    const began = performance.now();
    const costs = await inParallel(all, atOnce, work);
    return { costs, ms: performance.now() - began };
  };
  const units = { ...TIMES, burst: "ms", drain: "ms" } as const;
  await keepTurns(context, scenario, limits, units, sides, async (side) => {
    const added = await run((index) => side.add(index));
    const deleted = await run((index) => side.del(index));
    return {
      ADD: batch(added.costs.map(({ wallMs }) => wallMs)),
      DEL: batch(deleted.costs.map(({ wallMs }) => wallMs)),
      "ADD CPU": batch(added.costs.map(({ cpuMs }) => cpuMs)),
      "DEL CPU": batch(deleted.costs.map(({ cpuMs }) => cpuMs)),
      burst: single(added.ms),
      drain: single(deleted.ms),
    };
  });
  if (meter === null || context.effort.isQuick) return;
  await keepTurns(context, scenario, { least: 1, most: 1, withinMs: 0 }, MEMORY, sides, async (side) => {
    const added = await run((index) => side.add(index, true));
    const deleted = await run((index) => side.del(index, true));
    return memoryOf(added.costs, deleted.costs);
  });
}

function memoryOf(added: readonly Cost[], deleted: readonly Cost[]): Turn {
  const peaks = (costs: readonly Cost[]) => batch(costs.flatMap(({ peakMiB }) => peakMiB ?? []));
  return { "ADD peak memory": peaks(added), "DEL peak memory": peaks(deleted) };
}

async function keepTurns(
  context: Context,
  scenario: string,
  limits: TurnLimits,
  units: Readonly<Record<string, Unit>>,
  sides: readonly Side[],
  work: (side: Side) => Promise<Turn>,
): Promise<void> {
  const contestants: Contestant[] = sides.map((side) => ({ subject: side.subject, turn: () => work(side) }));
  const taken = await takeTurns(contestants, limits, context.isStopped);
  context.keep(summarise({ suite: "cni", scenario }, taken, { units, references: REFERENCES }));
}
