import { inParallel } from "../../lab/parallel.ts";
import { type Context, isWanted } from "../context.ts";
import { FLOOR, SERVED } from "../measure.ts";
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
import { peerSubject } from "./plugins.ts";
import type { Meter, Side } from "./side.ts";

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
  if (!isWanted(context, scenario)) return;
  context.tell(scenario);
  const timed = contestantsOf(sides, async (side) => {
    const added = await withServing(side, async () => [await side.add(index)]);
    const deleted = await withServing(side, async () => [await side.del(index)]);
    return timesOf(added, deleted);
  });
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
  const scenario = nameBurst(pods, atOnce);
  if (!isWanted(context, scenario)) return;
  context.tell(scenario);
  const units = { ...TIMES, burst: "ms", drain: "ms", "burst CPU": "ms", "drain CPU": "ms" } as const;
  const run = async (side: Side, work: (index: number) => Promise<Cost>) => {
    const began = performance.now();
    let ms = 0;
    const costs = await withServing(side, async () => {
      const found = await inParallel(firstPods(pods), atOnce, work);
      ms = performance.now() - began;
      return found;
    });
    return { costs, ms: single(ms), cpuMs: single(costs.reduce((sum, { cpuMs }) => sum + cpuMs, 0)) };
  };
  const timed = contestantsOf(sides, async (side) => {
    const added = await run(side, (index) => side.add(index));
    const deleted = await run(side, (index) => side.del(index));
    const whole = {
      burst: added.ms,
      drain: deleted.ms,
      "burst CPU": added.cpuMs,
      "drain CPU": deleted.cpuMs,
    };
    return { ...timesOf(added.costs, deleted.costs), ...whole };
  });
  await keepTurns(context, scenario, limits, units, timed);
  if (meter === null || context.effort.isQuick) return;
  const metered = contestantsOf(sides, async (side) => {
    const added = await inParallel(firstPods(pods), atOnce, (index) => side.add(index, true));
    const deleted = await inParallel(firstPods(pods), atOnce, (index) => side.del(index, true));
    return memoryOf(added, deleted);
  });
  await keepTurns(context, scenario, { least: 1, most: 1, withinMs: 0 }, MEMORY, metered);
}

export function nameBurst(pods: number, atOnce: number): string {
  return `burst of ${pods}, ${atOnce} at once`;
}

/** The numbers of so many pods. */
export function firstPods(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/**
 * The costs of calls with what the node's agent took for them, in equal parts: which call it worked for can't be seen
 * from outside.
 */
async function withServing({ serving }: Side, work: () => Promise<Cost[]>): Promise<Cost[]> {
  if (serving === null) return await work();
  const before = serving.cpuMs();
  const costs = await work();
  const share = (serving.cpuMs() - before) / costs.length;
  return costs.map((cost) => ({ ...cost, cpuMs: cost.cpuMs + share }));
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
  // Ratios are to us, to the system's own plugins, and to the least that the kernel work takes.
  const references = [SERVED, ...context.peers.slice(0, 1).map(peerSubject), FLOOR];
  await takeTurns(contestants, limits, context.isStopped, (taken) =>
    context.keep(summarise({ suite: "cni", scenario }, taken, { units, references })),
  );
}

export function contestantsOf(sides: readonly Side[], work: (side: Side) => Promise<Turn>): Contestant[] {
  return sides.map((side) => ({ subject: side.subject, turn: () => work(side) }));
}
