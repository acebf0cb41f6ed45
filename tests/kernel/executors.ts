import { expect } from "bun:test";
import type { Engine, Means } from "../../src/host/batch.ts";
import { createDeadline } from "../../src/host/deadline.ts";
import { ExecuteError } from "../../src/host/errors.ts";
import { executePlan } from "../../src/host/execute.ts";
import { openNetns } from "../../src/host/netns.ts";
import type { NetnsPath, Operation, Plan, Step } from "../../src/plan/step.ts";
import { must, run, Sandbox } from "./sandbox.ts";

export const ENGINES: readonly Engine[] = ["iproute2", "netlink"];

/** The two namespaces that a case may change. */
export interface Place {
  readonly node: NetnsPath;
  readonly pod: NetnsPath;
}

/** An operation of the node's namespace, unless another one is named. */
export type Act = Operation &
  Partial<Pick<Step, "undo" | "isAtomic">> & {
    readonly netns?: NetnsPath;
    readonly why?: string;
  };

/** Something that both engines have to do alike. */
export interface Case {
  readonly name: string;
  /** What is there before: lines for `ip -batch` in the node, then those for `tc -batch`. */
  readonly before?: readonly string[];
  readonly acts: (place: Place) => readonly Act[];
  /** What the kernel may be built without; the case is skipped there. */
  readonly needs?: "vlan filtering";
}

/** An act that is refused. */
export interface Fault {
  readonly act: Act;
  /** What both engines tell; absent: the tool says no before it asks the kernel. */
  readonly says?: string;
  /** The tool ends there instead of going on to tell the line: iproute2 does not know which step it was. */
  readonly isEnd?: true;
}

/** Means without limits. */
export function meansOf(engine: Engine): Means {
  return { deadline: createDeadline(Number.POSITIVE_INFINITY), engine, open: openNetns };
}

/** Steps with what an act leaves out. */
export function stepsOf(acts: readonly Act[], place: Place): Step[] {
  return acts.map((act): Step => ({ ...act, netns: act.netns ?? place.node, why: act.why ?? "a test" }));
}

/** A node and, once it is asked for, its pod. */
export interface Arena {
  readonly box: Sandbox;
  readonly place: Place;
  /** The namespaces that there are, by what they are. */
  namespaces(): readonly (readonly [string, NetnsPath])[];
}

/** Both ends have a carrier before there are addresses, and no address waits for an answer: nothing comes later. */
const BASE = [
  "link add v0 type veth peer name v1",
  "link set v1 addrgenmode none up",
  "link set v0 addrgenmode none up",
  "addr add 10.0.0.1/24 dev v0",
  "addr add fd00::1/64 dev v0 nodad",
];

/**
 * Ends once each port of a bridge that is up forwards: until the kernel's delayed work has told the bridge
 * of its carrier, taking the port down leaves the bridge without its multicast route.
 */
const SETTLED = `for n in $(seq 300); do
  ip -o link show type bridge | grep -q '[<,]UP[,>].* state \\(DOWN\\|LOWERLAYERDOWN\\)' || exit 0
  sleep 0.01
done
echo "bridge without carrier after 3 s" >&2; exit 1`;
const isForTc = (line: string) => /^(qdisc|filter) /.test(line);
const isPortUp = (line: string) => line.startsWith("link set v0 master");

/** A fresh node: 10.0.0.1/24 and fd00::1/64 on `v0`, whose other end is `v1`; `before`: further lines for `ip` and `tc`. */
export function openArena(before: readonly string[] = []): Arena {
  const box = new Sandbox();
  const script = `for f in all default; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; done
ip -batch -
${before.some(isPortUp) ? SETTLED : ""}`;
  const done = run(["nsenter", `--net=${box.netns}`, "sh", "-ec", script], {
    stdin: `${[...BASE, ...before.filter((line) => !isForTc(line))].join("\n")}\n`,
  });
  expect(done).toMatchObject({ exitCode: 0, stderr: "" });
  for (const line of before.filter(isForTc)) box.node("tc", ...line.split(" "));
  let pod = "";
  const place = {
    node: box.netns,
    get pod(): NetnsPath {
      if (pod === "") pod = box.pod().netns;
      return pod;
    },
  };
  const namespaces = () => [["node", box.netns] as const, ...(pod === "" ? [] : [["pod", pod] as const])];
  return { box, place, namespaces };
}

/** One place for each engine, alike; both are removed, whatever happens. */
export async function withArenas<T>(
  before: readonly string[],
  work: (arenas: Readonly<Record<Engine, Arena>>) => Promise<T>,
): Promise<T> {
  const arenas = { iproute2: openArena(before), netlink: openArena(before) };
  try {
    return await work(arenas);
  } finally {
    arenas.iproute2.box.destroy();
    arenas.netlink.box.destroy();
  }
}

/** Whether a bridge of this kernel can filter by VLAN. */
export const FILTERS_VLANS = isFilter();

function isFilter(): boolean {
  const script = "ip link add br0 type bridge && ip link set br0 type bridge vlan_filtering 1";
  return run(["unshare", "--net", "sh", "-c", script]).exitCode === 0;
}

/** Routes of both families; neighbours in any state. */
const SHOWN = {
  ip: ["link show", "addr show", "route show table all", "neigh show nud all"],
  bridge: ["link show", "fdb show", ...(FILTERS_VLANS ? ["vlan show"] : [])],
  tc: ["qdisc show"],
};
/** What differs between two places although all is alike: numbers, counters, timers. */
const UNLIKE =
  /^(ifindex|link_index|link_netnsid|hold_timer|.*_timer|used|refcnt|probes|valid_life_time|preferred_life_time)$/;
const MAC = /\b([0-9a-f]{2}(?::[0-9a-f]{2}){5})\b/g;

/** The kernel's state of an arena as lines, without what is drawn at random: MACs that nothing `given` names. */
export function stateOf({ box, namespaces }: Arena, given: readonly string[] = []): string[] {
  const known = new Set(given.join(" ").match(MAC));
  const clean = (line: string) => line.replaceAll(box.name, "node").replace(MAC, (mac) => hide(mac, known));
  return namespaces().flatMap(([where, netns]) => shownIn(netns, clean).map((line) => `${where}: ${line}`));
}

/** What steps name. */
export function textOf(plan: Plan): string[] {
  return plan.map((step) => JSON.stringify(step, (_key, it) => (typeof it === "bigint" ? "" : it)));
}

/** Some of it the kernel does a moment later (carriers, what hangs on them): the places are alike in the end. */
export async function expectSameState(
  { iproute2, netlink }: Readonly<Record<Engine, Arena>>,
  given: readonly string[],
): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (stateOf(netlink, given).join("\n") === stateOf(iproute2, given).join("\n")) return;
    await Bun.sleep(10);
  }
  expect(stateOf(netlink, given)).toEqual(stateOf(iproute2, given));
}

function hide(mac: string, known: ReadonlySet<string>): string {
  const isOfAll = /^(00:00:00:00:00:00|ff:ff:ff:ff:ff:ff|33:33|01:00:5e|01:80:c2)/.test(mac);
  return isOfAll || known.has(mac) ? mac : "<random>";
}

const OF_KERNEL = '"protocol":"kernel"';
type Row = Readonly<Record<string, unknown>>;

function shownIn(netns: NetnsPath, clean: (line: string) => string): string[] {
  const script = Object.entries(SHOWN)
    .map(([tool, lines]) => `${tool} -d -j -batch - <<EOF\n${lines.join("\n")}\nEOF\necho ---`)
    .join("\n");
  const texts = must("nsenter", `--net=${netns}`, "sh", "-ec", script).split("---\n");
  return Object.entries(SHOWN).flatMap(([tool, commands], at) => {
    const printed = texts[at]?.trim().split("\n") ?? [];
    const tables = printed.map((line): Row[] => JSON.parse(line));
    expect(tables).toHaveLength(commands.length);
    if (tool === "tc") tables.push(...filtersBehind(tables.flat(), netns));
    return tables.flatMap((rows, index) => {
      const command = `${tool} ${commands[index] ?? "filter show"}`;
      const lines = rows
        .filter((row) => isLasting(command, row))
        .map((row) => clean(`${command}: ${JSON.stringify(row, unlike)}`));
      // Of routes, the order tells which comes first; but not of the kernel's own.
      const ordered = command.includes("route") ? lines.filter((line) => !line.includes(OF_KERNEL)) : [];
      return [...lines.filter((line) => !ordered.includes(line)).sort(), ...ordered];
    });
  });
}

/** What is hung where a link receives, of each link that has such a place; which one it is stands beside it. */
function filtersBehind(qdiscs: readonly Row[], netns: NetnsPath): Row[][] {
  const places = qdiscs.filter(({ kind }) => kind === "ingress");
  return places.map(({ dev }) => {
    const argv = ["tc", "-j", "filter", "show", "dev", String(dev), "parent", "ffff:"];
    const rows: Row[] = JSON.parse(must("nsenter", `--net=${netns}`, ...argv));
    return rows.map((row) => ({ dev, ...row }));
  });
}

function isLasting(command: string, { state }: Row): boolean {
  if (command.includes("fdb")) return state === "permanent";
  // Multicast groups that the kernel joins, or not yet.
  return !(command.includes("neigh") && Array.isArray(state) && state.includes("NOARP"));
}

function unlike(key: string, value: unknown): unknown {
  return UNLIKE.test(key) ? undefined : value;
}

/** What is the same of a failure, whoever tells it. */
export interface Outcome {
  /** The place of the failed step in the plan; null when all went well. */
  readonly failed: number | null;
  readonly message: string;
}

/** Runs a plan that may fail. Other errors than ExecuteError pass through. */
export async function outcomeOf(plan: Plan, engine: Engine): Promise<Outcome> {
  try {
    await executePlan(plan, meansOf(engine));
    return { failed: null, message: "" };
  } catch (error) {
    if (!(error instanceof ExecuteError)) throw error;
    return { failed: plan.indexOf(error.step), message: error.stderr };
  }
}

/** Runs a case's plan by both engines, and expects success and the same state. */
export async function expectAlike({ before = [], acts }: Case): Promise<void> {
  await withArenas(before, async (arenas) => {
    const given = [...before];
    for (const engine of ENGINES) {
      const { place } = arenas[engine];
      const plan = stepsOf(acts(place), place);
      expect([engine, await outcomeOf(plan, engine)]).toEqual([engine, { failed: null, message: "" }]);
      given.push(...textOf(plan));
    }
    await expectSameState(arenas, given);
  });
}

/** What iproute2 says, as netlink says it: the kernel's own words there have those of the error number behind them. */
export function expectSameWords(netlink: string, iproute2: string): void {
  const said = iproute2.replace(/\.$/, "");
  if (said.startsWith("Error: ")) expect(netlink.replace(/ \([^()]*\)$/, "")).toBe(said);
  else expect(netlink).toBe(said);
}
