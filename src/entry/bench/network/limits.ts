import { HostError, OverdueError } from "../../../host/errors.ts";
import type { Family } from "../../../net/address.ts";
import { inParallel } from "../../lab/parallel.ts";
import { describeOurs, describePeer, type LimitKeys, type PluginSet } from "../cni/plugins.ts";
import { type Context, isWanted } from "../context.ts";
import { LEAST_TURNS, type Measure } from "../measure.ts";
import { type Scratch, withScratch } from "../scratch.ts";
import { type Contestant, type Metrics, single, summarise, type Turn, takeTurns } from "../turns.ts";
import type { Received } from "./iperf.ts";
import {
  BESIDE,
  BESIDE_SCENARIO,
  LIMIT,
  LIMIT_METRICS,
  type LimitCase,
  limitCases,
  limitKeys,
  NOBODY,
  PAIR_METRIC,
  streamAt,
} from "./limited.ts";
import { createLimitedNode, type LimitedNode } from "./limited-node.ts";
import { receive } from "./receive.ts";
import { type NetworkPath, stream } from "./turn.ts";

/** Seconds of a stream between unlimited pods. */
const PAIR_S = 1;
/** What a processor takes of such a stream varies more than a limit does. */
const PAIR_TURNS = 10;
/** Until the limited streams beside it run steadily, in milliseconds. */
const SETTLE_MS = 500;
/** Numbers of the pods of a node: one is sent to, one sends, and each has an unlimited one at its other end. */
const [RECEIVER, SENDER, RECEIVERS_PEER, SENDERS_PEER] = [0, 1, 2, 3] as const;
/** Two more without a limit. */
const PAIR = [4, 5] as const;

/** How exactly limits are kept, ours and the reference's, and whether pods without one notice those that have one. */
export async function measureLimits(context: Context, families: readonly Family[]): Promise<void> {
  const { effort, self, peers, isStopped } = context;
  const [peer] = peers;
  const sets = [
    describeOurs(self),
    ...(peer === undefined ? [] : [{ ...describePeer(peer), subject: `bandwidth ${peer.version}` }]),
  ];
  const cases = limitCases(effort.isQuick, families).filter(({ scenario }) => isWanted(context, scenario));
  const slow = cases.filter(({ isSlow }) => isSlow);
  const others = cases.filter(({ isSlow }) => !isSlow).map((one) => [one]);
  for (const group of [...(slow.length === 0 ? [] : [slow]), ...others]) {
    if (isStopped()) return;
    context.tell(group.map(({ scenario }) => scenario).join("; "));
    await withScratch(context, (scratch) => measureGroup(context, scratch, sets, group));
  }
  if (isStopped() || !isWanted(context, BESIDE_SCENARIO)) return;
  context.tell(BESIDE_SCENARIO);
  await withScratch(context, (scratch) => measureBeside(context, scratch, describeOurs(self)));
}

/** All of a group at the same time; what was found is kept in their order, also when one of them fails. */
async function measureGroup(
  context: Context,
  scratch: Scratch,
  sets: readonly PluginSet[],
  group: readonly LimitCase[],
): Promise<void> {
  const found = new Map<LimitCase, readonly Measure[]>();
  try {
    await inParallel(group, group.length, (limit) => {
      // By IPv6 it is the same queue: ours alone tells it, in half the time.
      const some = limit.family === 6 ? sets.slice(0, 1) : sets;
      return measureLimit(context, scratch, some, limit, (measures) => void found.set(limit, measures));
    });
  } finally {
    context.keep(group.flatMap((limit) => found.get(limit) ?? []));
  }
}

function limitsOf({ effort }: Context, full = LEAST_TURNS) {
  const turns = effort.isQuick ? 1 : full;
  return { least: turns, most: turns, withinMs: 0 };
}

async function measureLimit(
  context: Context,
  scratch: Scratch,
  sets: readonly PluginSet[],
  { scenario, family, rate, keys, stream: wish }: LimitCase,
  use: (measures: readonly Measure[]) => void,
): Promise<void> {
  const name = scenario.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const exact: Received = { whole: rate, steady: rate };
  // The first one: the others are told beside it.
  const contestants: Contestant[] = [{ subject: LIMIT, turn: () => tell(exact, exact) }];
  for (const [index, set] of sets.entries()) {
    const node = await createLimitedNode(context, scratch, set, {
      name: `${name}-${index}`,
      family,
      pods: 4,
    });
    let isPrepared = false;
    const turn = async () => {
      // In the first turn and not before, so that a peer whose programs fail can be left out.
      if (!isPrepared) await inParallel([RECEIVERS_PEER, SENDERS_PEER], 2, (pod) => node.add(pod, null));
      isPrepared = true;
      return await withLimited(node, keys, async (receiving, sending) => {
        const [ingress, egress] = await inParallel([receiving, sending], 2, (path) =>
          receive(path, wish, context.host),
        );
        return ingress === undefined || egress === undefined ? {} : tell(ingress, egress);
      });
    };
    contestants.push({
      subject: set.subject,
      turn: index === 0 ? turn : leftOut(context, scenario, set, turn),
    });
  }
  const units = Object.fromEntries(Object.values(LIMIT_METRICS).map((metric) => [metric, "Mbit/s"] as const));
  const metrics: Metrics = { units, more: Object.keys(units), references: [LIMIT] };
  await takeTurns(contestants, limitsOf(context), context.isStopped, (taken) =>
    use(summarise({ suite: "network", scenario }, taken, metrics)),
  );
}

function tell(ingress: Received, egress: Received): Turn {
  return {
    [LIMIT_METRICS.ingress]: single(ingress.steady),
    [LIMIT_METRICS.egress]: single(egress.steady),
    [LIMIT_METRICS.ingressWhole]: single(ingress.whole),
    [LIMIT_METRICS.egressWhole]: single(egress.whole),
  };
}

/** New pods with a limit for each turn: a queue that was used has no burst left, and may hold what nobody waits for. */
async function withLimited<T>(
  node: LimitedNode,
  keys: LimitKeys,
  work: (receiving: NetworkPath, sending: NetworkPath) => Promise<T>,
): Promise<T> {
  const limited = [RECEIVER, SENDER] as const;
  await inParallel(limited, limited.length, (pod) => node.add(pod, keys));
  try {
    return await work(node.path(RECEIVERS_PEER, RECEIVER), node.path(SENDER, SENDERS_PEER));
  } finally {
    await inParallel(limited, limited.length, (pod) => node.del(pod));
  }
}

/** A peer's turns; once one has failed it is left out, and a note says why. */
function leftOut(context: Context, scenario: string, { subject }: PluginSet, turn: () => Promise<Turn>) {
  let isOut = false;
  return async (): Promise<Turn> => {
    if (isOut) return {};
    try {
      return await turn();
    } catch (error) {
      if (!(error instanceof HostError) || error instanceof OverdueError) throw error;
      isOut = true;
      context.note(`${scenario}: ${subject} is left out: ${error.message}`);
      return {};
    }
  };
}

/** Two pods without a limit: alone, and with both kinds of limited ones beside them that send and receive all the time. */
async function measureBeside(context: Context, scratch: Scratch, ours: PluginSet): Promise<void> {
  const { host } = context;
  const node = await createLimitedNode(context, scratch, ours, { name: "beside", family: 4, pods: 6 });
  for (const pod of [RECEIVERS_PEER, SENDERS_PEER, ...PAIR]) await node.add(pod, null);
  const pair = async () => ({ [PAIR_METRIC]: single(await stream(node.path(...PAIR), PAIR_S, host)) });
  const beside = () =>
    withLimited(node, limitKeys(BESIDE, null), async (receiving, sending) => {
      let found: Turn = {};
      const measure = async () => {
        await host.sleep(SETTLE_MS);
        found = await pair();
      };
      const load = [receiving, sending].map((path) => async () => {
        await receive(path, streamAt(BESIDE), host);
      });
      await inParallel([...load, measure], 3, (work) => work());
      return found;
    });
  const contestants = [
    { subject: NOBODY, turn: pair },
    { subject: ours.subject, turn: beside },
  ];
  const metrics: Metrics = {
    units: { [PAIR_METRIC]: "Mbit/s" },
    more: [PAIR_METRIC],
    references: [NOBODY],
  };
  await takeTurns(contestants, limitsOf(context, PAIR_TURNS), context.isStopped, (taken) =>
    context.keep(summarise({ suite: "network", scenario: BESIDE_SCENARIO }, taken, metrics)),
  );
}
