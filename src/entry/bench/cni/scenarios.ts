import { inParallel } from "../../lab/parallel.ts";
import type { Context } from "../context.ts";
import { FLOOR } from "../measure.ts";
import {
  batch,
  type Contestant,
  type Metrics,
  single,
  summarise,
  type Turn,
  type TurnLimits,
  takeTurns,
} from "../turns.ts";
import type { Cost } from "./call.ts";
import type { Meter, Side } from "./side.ts";

/** Ratios are to us and to the least that the kernel work takes. */
const REFERENCES = ["minicni", FLOOR];
/** Metered calls of each side: memory hardly varies. */
const METERED_TURNS = 6;

const TIMES = { ADD: "ms", DEL: "ms", "ADD CPU": "ms", "DEL CPU": "ms" } as const;
const MEMORY = { "ADD peak memory": "MiB", "DEL peak memory": "MiB" } as const;

/** How often calls that take a moment are repeated. */
export function sequentialLimits({ effort }: Context): TurnLimits {
  const most = effort.isQuick ? 5 : 300;
  return { least: effort.least, most, withinMs: effort.scenarioMs, steady: ["ADD", "DEL"] };
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
  const timed = contestantsOf(sides, async (side) =>
    timesOf([await side.add(index)], [await side.del(index)]),
  );
  await keepTurns(context, scenario, limits, TIMES, timed);
  if (meter === null) return;
  const turns = context.effort.isQuick ? 1 : METERED_TURNS;
  const few = { least: turns, most: turns, withinMs: 0 };
  const metered = contestantsOf(sides, async (side) =>
    memoryOf([await side.add(index, true)], [await side.del(index, true)]),
  );
  await keepTurns(context, scenario, few, MEMORY, metered);
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
  const timed = contestantsOf(sides, async (side) => {
    const added = await run((index) => side.add(index));
    const deleted = await run((index) => side.del(index));
    const times = timesOf(added.costs, deleted.costs);
    return { ...times, burst: single(added.ms), drain: single(deleted.ms) };
  });
  await keepTurns(context, scenario, limits, units, timed);
  if (meter === null || context.effort.isQuick) return;
  const metered = contestantsOf(sides, async (side) => {
    const added = await run((index) => side.add(index, true));
    const deleted = await run((index) => side.del(index, true));
    return memoryOf(added.costs, deleted.costs);
  });
  await keepTurns(context, scenario, { least: 1, most: 1, withinMs: 0 }, MEMORY, metered);
}

function timesOf(added: readonly Cost[], deleted: readonly Cost[]): Turn {
  return {
    ADD: batch(added.map(({ wallMs }) => wallMs)),
    DEL: batch(deleted.map(({ wallMs }) => wallMs)),
    "ADD CPU": batch(added.map(({ cpuMs }) => cpuMs)),
    "DEL CPU": batch(deleted.map(({ cpuMs }) => cpuMs)),
  };
}

function memoryOf(added: readonly Cost[], deleted: readonly Cost[]): Turn {
  const peaks = (costs: readonly Cost[]) => batch(costs.flatMap(({ peakMiB }) => peakMiB ?? []));
  return { "ADD peak memory": peaks(added), "DEL peak memory": peaks(deleted) };
}

/** Lets the contestants take turns, and keeps what they found. */
export async function keepTurns(
  context: Context,
  scenario: string,
  limits: TurnLimits,
  units: Metrics["units"],
  contestants: readonly Contestant[],
): Promise<void> {
  await takeTurns(contestants, limits, context.isStopped, (taken) =>
    context.keep(summarise({ suite: "cni", scenario }, taken, { units, references: REFERENCES })),
  );
}

function contestantsOf(sides: readonly Side[], work: (side: Side) => Promise<Turn>): Contestant[] {
  return sides.map((side) => ({ subject: side.subject, turn: () => work(side) }));
}
