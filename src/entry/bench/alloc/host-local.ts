import { rmSync } from "node:fs";
import { HostError } from "../../../host/errors.ts";
import type { Context } from "../context.ts";
import { type Scratch, withScratch } from "../scratch.ts";
import { type Metrics, single, summarise, type Turn, takeTurns } from "../turns.ts";
import { fillInParts } from "./fill-store.ts";
import { describePlace, FIRST_ADDRESS, FULLNESSES, LENGTHS, nameRange } from "./workload.ts";

/** The network whose addresses are given; also the name of its folder. */
const NETWORK = "bench";
const OURS = "minicni";
const THEIRS = "host-local";
/** host-local opens every file of a /12 in each call. */
const TIMEOUT_MS = 300_000;
/** Turns in a /12: more of them would take hours. */
const HUGE = { length: 12, fullnesses: [0.5, 0.999], turns: 3 } as const;

/** One of the plugins, with a store of its own. */
interface Store {
  readonly subject: string;
  readonly argv: readonly string[];
  readonly type: string;
  readonly dataDir: string;
  readonly stateDir: string;
  readonly netns: string;
}

/**
 * Whole calls of the real plugins as IPAM plugins: host-local, which has a file for each address and looks into all of
 * them, and ours on a store of the same form. Needs root.
 */
export async function measureHostLocal(context: Context): Promise<void> {
  if (process.getuid?.() !== 0) {
    context.note("Allocators: host-local's method was left out: it needs root.");
    return;
  }
  const { peers } = context;
  if (peers.length === 0) {
    context.note(
      "Allocators: no host-local, ours was measured alone: `apt-get install containernetworking-plugins`, or name its folder by CNI_PEERS.",
    );
  }
  for (const length of context.effort.isQuick ? [24, 16] : LENGTHS) {
    const fullnesses = length === HUGE.length ? HUGE.fullnesses : FULLNESSES;
    for (const fullness of context.effort.isQuick ? [0, 0.999] : fullnesses) {
      if (context.isStopped()) return;
      await withScratch(context, (scratch) => measureStores(context, scratch, length, fullness));
    }
  }
}

async function measureStores(
  context: Context,
  scratch: Scratch,
  length: number,
  fullness: number,
): Promise<void> {
  const { least, most, scenarioMs } = context.effort;
  const scenario = `${nameRange(length, fullness)}, whole plugin`;
  const { subnet, capacity } = describePlace(length);
  const [netns = ""] = await scratch.addNamespaces(["pod"]);
  const place = { dataDir: `${scratch.disk}/${OURS}`, stateDir: `${scratch.memory}/state`, netns };
  const stores: readonly Store[] = [
    { ...place, subject: OURS, argv: context.self, type: OURS },
    ...context.peers.map(({ folder, version }, index) => ({
      ...place,
      subject: `${THEIRS} ${version}`,
      argv: [`${folder}/${THEIRS}`],
      type: THEIRS,
      dataDir: `${scratch.disk}/${THEIRS}-${index}`,
    })),
  ];
  for (const { subject, dataDir } of stores) {
    context.tell(`${scenario}: filling the store of ${subject}`);
    for (const _ of fillInParts(
      `${dataDir}/${NETWORK}`,
      { first: FIRST_ADDRESS, count: capacity },
      fullness,
    )) {
      // Whoever wants it to end is only heard in between.
      await Bun.sleep(0);
      if (context.isStopped()) return;
    }
  }
  context.tell(scenario);
  const isHuge = length === HUGE.length;
  const contestants = stores.map((store) => ({
    subject: store.subject,
    turn: () => takeTurn(context, store, subnet),
  }));
  const turns = isHuge ? { least: HUGE.turns, most: HUGE.turns } : { least, most };
  const metrics: Metrics = { units: { ADD: "ms", "ADD, first": "ms", DEL: "ms" }, references: [OURS] };
  await takeTurns(contestants, { ...turns, withinMs: scenarioMs }, context.isStopped, (taken) =>
    context.keep(summarise({ suite: "alloc", scenario }, taken, metrics)),
  );
}

/** Two attachments come and go: one on a store as host-local leaves it, one on a store that was used before. */
async function takeTurn(context: Context, store: Store, subnet: string): Promise<Turn> {
  forget(store);
  const first = await call(context, store, subnet, "ADD", "mbench-first");
  await call(context, store, subnet, "DEL", "mbench-first");
  const add = await call(context, store, subnet, "ADD", "mbench-second");
  const del = await call(context, store, subnet, "DEL", "mbench-second");
  return { ADD: single(add), "ADD, first": single(first), DEL: single(del) };
}

/** Removes what we keep beside the reservations, so that all names have to be read again; host-local keeps nothing. */
function forget({ dataDir }: Store): void {
  for (const name of [".pool.0", ".boot"]) rmSync(`${dataDir}/${NETWORK}/${name}`, { force: true });
}

/** One call as a runtime makes it; milliseconds from its start until its output was read. Throws HostError. */
async function call(
  { host }: Context,
  { subject, argv, type, dataDir, stateDir, netns }: Store,
  subnet: string,
  command: "ADD" | "DEL",
  id: string,
): Promise<number> {
  const ipam = { type, dataDir, ranges: [[{ subnet }]] };
  // Ours gives addresses alone when the configuration is that of another plugin.
  const stdin = JSON.stringify({ cniVersion: "1.0.0", name: NETWORK, type: "bridge", stateDir, ipam });
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/usr/lib/cni",
  };
  const began = performance.now();
  const { exitCode, stdout, stderr } = await host.spawn({ argv, stdin, env, timeoutMs: TIMEOUT_MS });
  const tookMs = performance.now() - began;
  if (exitCode === 0) return tookMs;
  throw new HostError(`${command} by ${subject} failed: ${(stdout || stderr).trim()}`, "see the message");
}
