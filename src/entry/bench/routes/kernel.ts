import { HostError } from "../../../host/errors.ts";
import { formatNodeList } from "../../../kube/nodelist.ts";
import type { Family } from "../../../net/address.ts";
import type { Backend } from "../../../topology/path.ts";
import { PATH_BACKENDS } from "../backends.ts";
import { runChild } from "../child.ts";
import type { Context } from "../context.ts";
import type { Unit } from "../measure.ts";
import { batch, type Reading, single, summarise, type Turn, takeTurns } from "../turns.ts";
import { measureAgent } from "./agent.ts";
import { describeCluster } from "./cluster.ts";
import { withNode } from "./namespace.ts";
import type { PassReport, PassSeries, PassTiming } from "./pass.ts";
import { nameNodes } from "./scenario.ts";

/** How passes and agents are repeated: each turn in a namespace and a process of its own. */
interface Repeats {
  readonly turns: number;
  /** Turns that are taken however long they last; those beyond only within the time. */
  readonly least: number;
  readonly withinMs: number;
}

const PASSES: Repeats = { turns: 15, least: 6, withinMs: 8_000 };
const AGENTS: Repeats = { turns: 3, least: 3, withinMs: 0 };
const ONCE: Repeats = { turns: 1, least: 1, withinMs: 0 };
/** How long an agent is left alone: one of its periods (--resync-period), so that one whole look falls in it. */
const QUIET_MS = { full: 5_000, quick: 500 } as const;
/** Below it what a pass costs by itself hides what a step costs. */
const MANY_STEPS = 100;

const SUBJECT = "minicni agent";

/** The metrics of an agent, and their units. */
const AGENT_UNITS = {
  "agent ready": "ms",
  "agent memory": "MiB",
  "agent memory, peak": "MiB",
  // Milliseconds of processor time, children included, in a second in which nothing changes.
  "agent CPU in a quiet second": "ms",
} as const satisfies Readonly<Record<string, Unit>>;
/** The passes whose cost by step is told. */
const BY_STEP = "first programming";
const STEP_METRIC = `${BY_STEP}, a step`;

/**
 * Whole passes of an agent's network part, then whole agents, in a cluster of so many nodes, each backend. Needs root.
 * Throws HostError when a step fails or a child does.
 */
export async function measureKernel(
  context: Context,
  nodes: number,
  families: readonly Family[],
): Promise<void> {
  const cluster = describeCluster(nodes, families);
  const { isQuick } = context.effort;
  for (const backend of PATH_BACKENDS) {
    const scenario = `${nameNodes(nodes, families)}, ${backend}`;
    context.tell(`${scenario}: passes`);
    await take(context, scenario, isQuick ? ONCE : PASSES, async () => {
      const text = formatNodeList(cluster);
      return readingsOf(await runPasses(context, scenario, families, backend, text));
    });
    context.tell(`${scenario}: agents`);
    const quietMs = isQuick ? QUIET_MS.quick : QUIET_MS.full;
    await take(context, scenario, isQuick ? ONCE : AGENTS, async () => {
      const { readyMs, restMiB, peakMiB, idleMsPerS } = await withNode(context, families, (netns, scratch) =>
        measureAgent(context, scratch, { cluster, backend, netns, quietMs }),
      );
      return {
        "agent ready": single(readyMs),
        "agent memory": single(restMiB),
        "agent memory, peak": single(peakMiB),
        "agent CPU in a quiet second": single(idleMsPerS),
      } satisfies Record<keyof typeof AGENT_UNITS, Reading>;
    });
  }
}

/** In a namespace and a process of their own, as an agent has them: what one leaves in memory does not burden the next. */
async function runPasses(
  context: Context,
  scenario: string,
  families: readonly Family[],
  backend: Backend,
  text: string,
): Promise<readonly PassSeries[]> {
  const { stdout } = await withNode(context, families, (netns) =>
    runChild(context, ["pass", "--backend", backend], { stdin: text, netns }),
  );
  const { series }: PassReport = JSON.parse(stdout);
  const failures = series.flatMap(({ name, passes }) =>
    passes.flatMap((pass) => pass.failures.map((failure) => `${name}: ${failure}`)),
  );
  if (failures.length > 0) {
    throw new HostError(`steps failed in ${scenario}: ${failures.slice(0, 5).join("; ")}`, "see dmesg");
  }
  return series;
}

/** The whole pass, its parts, and for the one that does the most what a step of it took. */
export function readingsOf(series: readonly PassSeries[]): Turn {
  const readings = series.flatMap(({ name, passes }): (readonly [string, Reading])[] => {
    const of = (value: (pass: PassTiming) => number) => batch(passes.map(value));
    const steps = passes[0]?.steps ?? 0;
    return [
      [name, of(({ totalMs }) => totalMs)],
      [`${name}: observe`, of(({ observeMs }) => observeMs)],
      [`${name}: diff`, of(({ diffMs }) => diffMs)],
      // Where there is nothing to do it is nothing, of which there is no ratio.
      ...(steps > 0 ? [[`${name}: execute`, of(({ executeMs }) => executeMs)] as const] : []),
      ...(name === BY_STEP && steps >= MANY_STEPS
        ? [[STEP_METRIC, of((pass) => (pass.totalMs * 1_000) / pass.steps)] as const]
        : []),
    ];
  });
  return Object.fromEntries(readings);
}

async function take(
  { isStopped, keep }: Context,
  scenario: string,
  { turns, least, withinMs }: Repeats,
  turn: () => Promise<Turn>,
): Promise<void> {
  const limits = { least, most: turns, withinMs };
  await takeTurns([{ subject: SUBJECT, turn }], limits, isStopped, (taken) => {
    const metrics = Object.keys(taken.get(SUBJECT)?.[0] ?? {});
    const units = Object.fromEntries(metrics.map((metric) => [metric, unitOf(metric)]));
    keep(summarise({ suite: "routes", scenario }, taken, { units, references: [] }));
  });
}

function unitOf(metric: string): Unit {
  const units: Readonly<Record<string, Unit>> = { ...AGENT_UNITS, [STEP_METRIC]: "µs" };
  return units[metric] ?? "ms";
}
