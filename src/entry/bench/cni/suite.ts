import { inParallel } from "../../lab/parallel.ts";
import { fillStore } from "../alloc/fill-store.ts";
import { type Context, isWanted, type Suite } from "../context.ts";
import { FLOOR } from "../measure.ts";
import { withScratch } from "../scratch.ts";
import { single } from "../turns.ts";
import { measureProgram } from "./call.ts";
import { compileFloor, floorArgv } from "./floor.ts";
import { measureBurstMemory } from "./memory-turns.ts";
import { CNI_VERSION, describePlugins, type Extras, LIMITS, NO_EXTRAS, type PluginSet } from "./plugins.ts";
import { installPrograms } from "./programs.ts";
import {
  firstPods,
  keepTurns,
  measureBurst,
  measureSequential,
  nameBurst,
  sequentialLimits,
} from "./scenarios.ts";
import { createFloorSide, createPluginSide, type Side, type Stage, tryOut } from "./side.ts";

/** What kubelet lets run on a node by default (`--max-pods`). */
const MAX_PODS = 110;
const QUICK_PODS = 30;
/** Attachments made at once where it is not measured. */
const PREPARED_AT_ONCE = 4;
/** Longest time of turns that take seconds each. */
const LONG_MS = 60_000;

const BOTH: Extras = { ...NO_EXTRAS, hostPort: true, limits: LIMITS };
const CHAINS: readonly { readonly name: string; readonly extras: Extras }[] = [
  { name: "ipMasq", extras: { ...NO_EXTRAS, ipMasq: true } },
  { name: "ipMasq + portmap", extras: { ...NO_EXTRAS, ipMasq: true, hostPort: true } },
  { name: "ipMasq + portmap + bandwidth", extras: { ...BOTH, ipMasq: true } },
];
/** Pods of a node that hold a host port already when one more comes and goes. */
const HOLDERS = 100;

/** Everybody who is measured. */
interface Cast {
  readonly plugins: readonly PluginSet[];
  /** The compiled floor; null without a compiler. */
  readonly floor: string | null;
}

/** ADD and DEL of this binary beside the reference plugins of this machine . */
export const measureCni: Suite = async (context) => {
  await withScratch(context, async (scratch) => {
    const { peers } = context;
    if (peers.length === 0) {
      context.note(
        "cni: no reference plugins here, so that minicni stands alone: apt-get install containernetworking-plugins, or name a folder by CNI_PEERS",
      );
    }
    const floor = await compileFloor(context, scratch.disk);
    const programs = installPrograms(context.self, `${scratch.disk}/bin`);
    const cast = { plugins: describePlugins(programs, peers), floor };
    const meter = context.host.findProgram("time");
    if (meter === null)
      context.note("cni: peak memory is left out: it needs GNU time (apt-get install time)");
    const stage = { context, scratch, meter, programs };
    await measureStart(context, cast);
    await measureNode({ ...stage, pods: (context.effort.isQuick ? QUICK_PODS : MAX_PODS) + 1 }, cast);
    await measureRanges({ ...stage, pods: 1 }, cast);
    await measureChains({ ...stage, pods: 1 }, cast);
    await measureHostPorts({ ...stage, pods: context.effort.isQuick ? 1 : HOLDERS + 1 }, cast);
  });
};

/** What starting the programs costs, whatever they do. */
async function measureStart(context: Context, { plugins, floor }: Cast): Promise<void> {
  const scenario = "starting a program";
  if (!isWanted(context, scenario)) return;
  context.tell(scenario);
  const env = { CNI_COMMAND: "VERSION" };
  const stdin = JSON.stringify({ cniVersion: CNI_VERSION });
  const place = { netns: "", meter: null };
  const programs = [
    ...plugins.map(({ subject, argv }) => ({ subject, argv })),
    ...(floor === null ? [] : [{ subject: FLOOR, argv: floorArgv(floor, "nothing") }]),
  ];
  const contestants = programs.map(({ subject, argv }) => ({
    subject,
    turn: async () => {
      const { cost } = await measureProgram(context, argv, { stdin, env }, place);
      return { VERSION: single(cost.wallMs), "VERSION CPU": single(cost.cpuMs) };
    },
  }));
  const limits = { ...sequentialLimits(context), steady: ["VERSION"] };
  await keepTurns(context, scenario, limits, { VERSION: "ms", "VERSION CPU": "ms" }, contestants);
}

/** An empty node, bursts on it, and a full one. */
async function measureNode(stage: Stage, cast: Cast): Promise<void> {
  const { context, meter, pods } = stage;
  const full = pods - 1;
  const { isQuick } = context.effort;
  // 1, 3, 30: so that the picture has a curve.
  const bursts = isQuick ? [10, full] : [1, 3, 10, 30, full];
  const [empty, last] = ["sequential, empty node", `sequential, ${full} pods on the node`];
  const all = [empty, ...bursts.map((atOnce) => nameBurst(full, atOnce)), last];
  if (!all.some((scenario) => isWanted(context, scenario))) return;
  context.tell(`${pods} pods' namespaces for each side`);
  await withSides(stage, cast, { name: "node", scenario: empty }, async (sides) => {
    await measureSequential(context, empty, sides, meter, 0);
    const limits = {
      least: isQuick ? 1 : 6,
      most: isQuick ? 1 : 12,
      withinMs: LONG_MS,
      steady: ["burst", "drain"],
    };
    for (const atOnce of bursts) {
      await measureBurst(context, sides, meter, full, atOnce, limits);
    }
    await measureBurstMemory(context, sides, stage.scratch.disk, full, full);
    if (context.isStopped() || !isWanted(context, last)) return;
    await attach(context, `${full} pods on each node`, sides, full);
    await measureSequential(context, last, sides, meter, full);
  });
}

/** A /16 range, empty, half full and almost full. */
async function measureRanges(stage: Stage, cast: Cast): Promise<void> {
  const { context, meter } = stage;
  for (const percent of context.effort.isQuick ? [0, 99.9] : [0, 50, 99.9]) {
    if (context.isStopped()) return;
    const scenario = `a /16 range, ${percent} % full`;
    if (!isWanted(context, scenario)) continue;
    context.tell(`${scenario}: reservations`);
    const prepare = (side: Side) => {
      if (side.storeFolder === "") return;
      fillStore(side.storeFolder, { first: "198.18.0.0", count: 65_536 }, percent / 100);
    };
    const name = `range${String(percent).replace(".", "-")}`;
    const limits = { ...sequentialLimits(context), ...(context.effort.isQuick ? { least: 1, most: 1 } : {}) };
    await withSides(stage, cast, { name, scenario, prepare }, (sides) =>
      measureSequential(context, scenario, sides, meter, 0, limits),
    );
  }
}

/** With what clusters ask for beyond a bridge, ours in one call, the reference by a plugin more for each. */
async function measureChains(stage: Stage, cast: Cast): Promise<void> {
  const { context, meter } = stage;
  for (const [index, { name, extras }] of CHAINS.entries()) {
    if (context.isStopped()) return;
    const scenario = `chain: ${name}`;
    if (!isWanted(context, scenario)) continue;
    await withSides(stage, cast, { name: `chain${index}`, scenario, extras }, (sides) =>
      measureSequential(context, scenario, sides, meter, 0),
    );
  }
}

/** A host port and limits: on an empty node, and on one where other pods have theirs, each a port of its own. */
async function measureHostPorts(stage: Stage, cast: Cast): Promise<void> {
  const { context, meter, pods } = stage;
  if (context.isStopped()) return;
  const scenario = "chain: portmap + bandwidth";
  const holders = pods - 1;
  const full = `${scenario}, ${holders} pods hold ports`;
  if (![scenario, full].some((name) => isWanted(context, name))) return;
  await withSides(stage, cast, { name: "ports", scenario, extras: BOTH }, async (sides) => {
    await measureSequential(context, scenario, sides, meter, 0);
    if (holders === 0 || !isWanted(context, full)) return;
    await attach(context, `${full}: those pods`, sides, holders);
    await measureSequential(context, full, sides, meter, holders);
  });
}

/** Attaches so many pods to each side, and leaves them there. */
async function attach(context: Context, what: string, sides: readonly Side[], count: number): Promise<void> {
  context.tell(what);
  for (const side of sides) {
    if (context.isStopped()) return;
    await inParallel(firstPods(count), PREPARED_AT_ONCE, (index) => side.add(index));
  }
}

/** What sides are made for. `prepare`: done for each before its first call. */
interface Occasion {
  readonly name: string;
  readonly scenario: string;
  readonly extras?: Extras;
  readonly prepare?: (side: Side) => void;
}

/**
 * Runs `work` with a side for everybody who can do what the scenario asks for. Their agents are ended whatever happens;
 * when all went well, they are asked first whether it was they who answered, and HostError is thrown when it was not.
 */
async function withSides(
  stage: Stage,
  { plugins, floor }: Cast,
  { name, scenario, extras = NO_EXTRAS, prepare }: Occasion,
  work: (sides: readonly Side[]) => Promise<void>,
): Promise<void> {
  const sides: Side[] = [];
  try {
    for (const [index, set] of plugins.entries()) {
      sides.push(await createPluginSide(stage, set, `${name}-${index}`, extras));
    }
    if (floor !== null) sides.push(await createFloorSide(stage, floor, `${name}-floor`));
    for (const side of sides) prepare?.(side);
    await work(await tryOut(stage.context, scenario, sides));
    for (const side of stage.context.isStopped() ? [] : sides) await side.verify();
  } finally {
    for (const { serving } of sides) await serving?.stop();
  }
}
