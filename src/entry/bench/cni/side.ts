import { mkdirSync } from "node:fs";
import { HostError, OverdueError } from "../../../host/errors.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import type { Context } from "../context.ts";
import { FLOOR } from "../measure.ts";
import type { Scratch } from "../scratch.ts";
import { addPod, type Cost, deletePod, measureProgram, type Pod } from "./call.ts";
import { floorArgv } from "./floor.ts";
import {
  BRIDGE,
  describeChain,
  type Extras,
  GATEWAY,
  type Json,
  NO_EXTRAS,
  type PluginSet,
  POD_INTERFACE,
  PREFIX_LENGTH,
} from "./plugins.ts";
import type { Programs } from "./programs.ts";
import { type Serving, startServing } from "./serving.ts";

/** Where GNU time is; null: memory is not measured. */
export type Meter = string | null;

/** One that attaches pods to a node of its own, pod by pod. */
export interface Side {
  readonly subject: string;
  /** What runs on the node between calls; null: nothing does. */
  readonly serving: Serving | null;
  /** Its reservations, for filling a range. */
  readonly storeFolder: string;
  /** Attaches pod number `index`; `isMetered`: its memory is measured, which makes the times worthless. */
  add(index: number, isMetered?: boolean): Promise<Cost>;
  /** Detaches it. */
  del(index: number, isMetered?: boolean): Promise<Cost>;
  /** Throws HostError when calls were answered by another one than they were measured for. */
  verify(): Promise<void>;
}

/** What sides are made of. */
export interface Stage {
  readonly context: Context;
  readonly scratch: Scratch;
  readonly meter: Meter;
  /** Pods that each node has. */
  readonly pods: number;
  readonly programs: Programs;
}

const BRIDGE_MAC = "0a:58:c6:12:00:01";

/** A node with pods for one set of plugins. `name` is part of namespace and folder names. */
export async function createPluginSide(
  stage: Stage,
  plugins: PluginSet,
  name: string,
  extras: Extras = NO_EXTRAS,
): Promise<Side> {
  const { context, scratch } = stage;
  const { node, pods } = await addNode(stage, name);
  const folders = { dataDir: `${scratch.disk}/${name}`, stateDir: `${scratch.memory}/${name}` };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  const serving = plugins.isServed
    ? await startServing(context, { netns: node, ...folders, program: stage.programs.standalone })
    : null;
  let calls = 0;
  /** Of who takes part in a call the agent is the largest. */
  const withAgent = (cost: Cost): Cost => {
    if (serving === null || cost.peakMiB === null) return cost;
    return { ...cost, peakMiB: Math.max(cost.peakMiB, serving.residentMiB()) };
  };
  const results = new Map<number, Json>();
  const placeOf = (index: number, isMetered: boolean) => ({
    netns: node,
    folder: plugins.folder,
    meter: meterOf(stage, `${folders.stateDir}/meter-${index}`, isMetered),
  });
  return {
    subject: plugins.subject,
    serving,
    storeFolder: `${folders.dataDir}/bench`,
    add: async (index, isMetered = false) => {
      calls++;
      const chain = describeChain(plugins, folders, extras, index);
      const { result, cost } = await addPod(context, chain, podAt(pods, index), placeOf(index, isMetered));
      results.set(index, result);
      return withAgent(cost);
    },
    del: async (index, isMetered = false) => {
      calls++;
      const chain = describeChain(plugins, folders, extras, index);
      const result = results.get(index) ?? {};
      return withAgent(
        await deletePod(context, chain, podAt(pods, index), result, placeOf(index, isMetered)),
      );
    },
    verify: async () => {
      await serving?.verify(calls);
    },
  };
}

/** The same for the C program, with a bridge that is made here: it does what a plugin does for a pod and no more. */
export async function createFloorSide(stage: Stage, program: string, name: string): Promise<Side> {
  const { context, scratch } = stage;
  const { node, pods } = await addNode(stage, name);
  const setup = [
    // With a MAC of its own, as plugins' bridges have: else it takes its ports' lowest, and changes with them.
    `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge`,
    `addr add ${GATEWAY}/${PREFIX_LENGTH} dev ${BRIDGE}`,
    `link set ${BRIDGE} up`,
  ].join("\n");
  const made = await context.host.spawn({ argv: ["ip", "-batch", "-"], stdin: `${setup}\n`, netns: node });
  if (made.exitCode !== 0) throw new HostError(`no bridge in ${node}: ${made.stderr.trim()}`, "see dmesg");
  const run = async (argv: readonly string[], index: number, isMetered: boolean): Promise<Cost> => {
    const meter = meterOf(stage, `${scratch.memory}/${name}-meter-${index}`, isMetered);
    return (await measureProgram(context, argv, { stdin: "", env: {} }, { netns: node, meter })).cost;
  };
  return {
    subject: FLOOR,
    serving: null,
    verify: async () => undefined,
    storeFolder: "",
    add: (index, isMetered = false) => {
      const address = `198.18.${1 + (index >> 8)}.${index & 255}/${PREFIX_LENGTH}`;
      const { netns } = podAt(pods, index);
      const pod = {
        netns,
        bridge: BRIDGE,
        hostVeth: vethOf(index),
        ifname: POD_INTERFACE,
        address,
        gateway: GATEWAY,
      };
      return run(floorArgv(program, "add", pod), index, isMetered);
    },
    del: (index, isMetered = false) => run(floorArgv(program, "del", vethOf(index)), index, isMetered),
  };
}

const vethOf = (index: number) => `veth${index}`;

async function addNode(
  { scratch, pods }: Stage,
  name: string,
): Promise<{ readonly node: NetnsPath; readonly pods: readonly Pod[] }> {
  const podNames = Array.from({ length: pods }, (_, index) => `${name}-pod${index}`);
  const [node = "", ...rest] = await scratch.addNamespaces([name, ...podNames]);
  return { node, pods: rest.map((netns, index) => ({ netns, containerId: podNames[index] ?? "" })) };
}

function podAt(pods: readonly Pod[], index: number): Pod {
  const pod = pods[index];
  if (pod === undefined) throw new RangeError(`there is no pod ${index}`);
  return pod;
}

function meterOf({ meter }: Stage, file: string, isMetered: boolean) {
  return meter === null || !isMetered ? null : { program: meter, file };
}

/**
 * The sides that can do what the scenario asks for: each attaches and detaches a pod once. What fails is noted and left
 * out, but for the first one, ours, whose HostError is thrown.
 */
export async function tryOut(context: Context, scenario: string, sides: readonly Side[]): Promise<Side[]> {
  const fit: Side[] = [];
  for (const side of sides) {
    try {
      await side.add(0);
      await side.del(0);
      fit.push(side);
    } catch (error) {
      if (!(error instanceof HostError) || error instanceof OverdueError || side === sides[0]) throw error;
      context.note(`${scenario}: ${side.subject} is left out: ${error.message}`);
    }
  }
  return fit;
}
