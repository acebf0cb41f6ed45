import type { Host } from "../../../host/machine.ts";
import { parseNodeList } from "../../../kube/nodelist.ts";
import type { ClusterNode, NodeSnapshot } from "../../../net/node.ts";
import type { Backend } from "../../../topology/path.ts";
import { createNetwork } from "../../agent/network.ts";
import { moveNode } from "./cluster.ts";

/** What one pass took, in milliseconds; what is not in a part is in `total` alone. */
export interface PassTiming {
  readonly totalMs: number;
  /** The kernel's links, routes, neighbours read. */
  readonly observeMs: number;
  /** Desired state, difference and plan. */
  readonly diffMs: number;
  /** Children (`ip -batch`, `bridge -batch`) run to their end. */
  readonly executeMs: number;
  readonly steps: number;
  /** Steps that failed, each with what was said to it; the first few. */
  readonly failures: readonly string[];
}

/** All passes of one kind. */
export interface PassSeries {
  readonly name: string;
  readonly passes: readonly PassTiming[];
}

/** What is measured: the part of the agent that brings a namespace's kernel state to a list of Nodes. */
export interface BenchSubject {
  /** `mayReuse`: the kernel has not changed since the pass before, as the agent's hints would tell. */
  pass(snapshot: NodeSnapshot, self: ClusterNode, mayReuse?: boolean): Promise<Omit<PassTiming, "totalMs">>;
  /** Makes the subject believe that so much time has gone by. */
  skip(milliseconds: number): void;
}

/** What a process that measured passes prints. */
export interface PassReport {
  readonly backend: Backend;
  readonly series: readonly PassSeries[];
}

/** Passes of each kind that can be repeated. */
const REPEATS = 7;
/** More than the agent waits before it believes that most of its peers are gone. */
const PATIENCE_MS = 120_000;
/** Failures that are told; with one cause there are thousands. */
const TOLD_FAILURES = 3;

/** The agent's own network part. */
export function createSubject(host: Host, backend: Backend): BenchSubject {
  let skipped = 0;
  const settings = { backend, tunnel: { vni: 157, port: 8472 }, dryRun: false };
  const network = createNetwork(settings, host, () => performance.now() + skipped);
  return {
    pass: async (snapshot, self, mayReuse = false) => {
      const { times, plan, failures } = await network.resync({ snapshot, self, isLive: true }, mayReuse);
      return {
        observeMs: times.observe,
        diffMs: times.diff,
        executeMs: times.execute,
        steps: plan.length,
        failures: failures.slice(0, TOLD_FAILURES).map(({ command, message }) => `${command}: ${message}`),
      };
    },
    skip: (milliseconds) => {
      skipped += milliseconds;
    },
  };
}

/**
 * Runs the passes of an agent's life in the namespace we are in, which must hold the first node's addresses: first
 * programming, nothing changed, the same list read anew, one node at another address, all others gone. `text`: a
 * NodeList of at least two nodes.
 */
export async function measurePasses(
  text: string,
  backend: Backend,
  subject: BenchSubject,
): Promise<PassReport> {
  const snapshot = parseNodeList(text);
  const [self, second] = snapshot.nodes;
  if (self === undefined || second === undefined) throw new RangeError("a benchmark needs two nodes");

  const run = async (wish: NodeSnapshot, mayReuse = false): Promise<PassTiming> => {
    const start = performance.now();
    const times = await subject.pass(wish, self, mayReuse);
    return { totalMs: performance.now() - start, ...times };
  };
  const once = async (name: string, wish: NodeSnapshot): Promise<PassSeries> => ({
    name,
    passes: [await run(wish)],
  });
  const repeat = async (
    name: string,
    next: (turn: number) => NodeSnapshot,
    isQuiet = false,
  ): Promise<PassSeries> => {
    const passes: PassTiming[] = [];
    for (let turn = 0; turn < REPEATS; turn++) {
      // The look that follows every change, by the kernel's own hints: a quiet one goes by what that one saw.
      if (isQuiet && turn > 0) await subject.pass(next(turn - 1), self);
      passes.push(await run(next(turn), isQuiet));
    }
    return { name, passes };
  };
  const moved = (turn: number): NodeSnapshot => ({
    nodes: snapshot.nodes.map((node) => (node === second ? moveNode(node, turn) : node)),
    faults: [],
  });
  const series = [
    await once("first programming", snapshot),
    await repeat("nothing changed", () => snapshot),
    await repeat("nothing changed, list read anew", () => ({ ...snapshot, nodes: [...snapshot.nodes] })),
    await repeat("one node changed", moved, true),
  ];
  const alone: NodeSnapshot = { nodes: [self], faults: [] };
  // The agent does not believe it at once; the pass in which it does is the one that counts.
  await subject.pass(alone, self);
  subject.skip(PATIENCE_MS);
  return { backend, series: [...series, await once("all others gone", alone)] };
}
