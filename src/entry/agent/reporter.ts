import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES } from "../../net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import type { NodeRulesWish } from "../../topology/node-rules.ts";
import { VERSION } from "../version.ts";
import { describeSource, type Known } from "./known.ts";
import type { ApiEvent, Metrics } from "./metrics.ts";
import type { NetworkOutcome } from "./network.ts";
import { type AgentReport, reportPath } from "./report.ts";
import { describeSettings, describeSourceName } from "./report-parts.ts";
import { NO_PEERS, type ReportedPeers } from "./report-peers.ts";
import type { RulesOutcome } from "./rules.ts";
import type { AgentSettings } from "./settings.ts";
import type { Voices } from "./tell.ts";

/** Between two writes at least, in milliseconds: a cluster that comes up changes all the time. */
const LEAST_MS = 1_000;
/** And at most, so that a reader can tell a living agent from a dead one. */
const MOST_MS = 15_000;
/** Repairs that are kept. */
const REPAIRS = 20;
/** A change in words is cut here: one repair may be about thousands of routes. */
const LONGEST_CHANGE = 500;

/** What brings news of the Nodes themselves. */
const NEWS: readonly ApiEvent[] = ["list", "relist", "event", "irrelevant"];

/** What a pass found of the network. */
export interface FoundNetwork {
  readonly snapshot: NodeSnapshot;
  readonly self: ClusterNode;
  readonly outcome: NetworkOutcome;
  /** Bytes of a pod's link; 0: not known yet. */
  readonly mtu: number;
}

/** Keeps agent.json, which tells of the agent to whoever can read files. No function of it throws. */
export interface Reporter {
  /** The same figures, of which the report keeps what it has a place for. */
  hear(metrics: Metrics): Metrics;
  network(found: FoundNetwork): void;
  /** `uncovered`: as in tellRules. */
  rules(wish: NodeRulesWish, outcome: RulesOutcome, uncovered: string | null): void;
  /** A pass came to its end: writes what is news, at most once a second. */
  look(known: Known): void;
  /** The report of now as JSON; `isBrief`: of the peers only those with a fault. */
  text(isBrief: boolean): string;
  /** The agent ends as it was told to; nothing is written any more. */
  stop(): void;
  /** Nothing is written any more; no more than that. */
  close(): void;
}

/** What a reporter works with. */
export interface ReporterParts {
  readonly host: Pick<Host, "writeFile" | "bootId">;
  readonly journal: Voices["journal"];
  readonly health: Pick<Voices["health"], "readiness" | "loops">;
  readonly pid: number;
  /** Addresses of some pods here, for who asks over the network; absent: none are told. */
  readonly pods?: () => readonly string[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Wall clock: it is only told. */
  readonly date: () => Date;
  /** Runs `work` in so many milliseconds; what it returns takes that back. By default a timer. */
  readonly later?: (ms: number, work: () => void) => () => void;
}

/** What was written last, and when. */
interface Written {
  readonly atMs: number;
  readonly state: string;
  readonly peers: ReportedPeers;
  readonly snapshot: NodeSnapshot | null;
}

export function createReporter(settings: AgentSettings, parts: ReporterParts): Reporter {
  const { host, journal, health, now, date } = parts;
  const later = parts.later ?? laterByTimer;
  const path = reportPath(settings.stateDir);
  const constant = {
    version: 1 as const,
    minicni: VERSION,
    pid: parts.pid,
    bootId: host.bootId(),
    startedAt: date().toISOString(),
    settings: describeSettings(settings),
  };
  const source = describeSourceName(settings);
  let known: Known = { snapshot: null, isLive: false, fault: null };
  let peers = NO_PEERS;
  let faulty: { readonly of: NodeSnapshot | null; readonly text: string } = { of: null, text: "[]" };
  let found: Pick<AgentReport, "routes" | "conflicts" | "tunnels" | "podCidrs" | "mtu"> = NOTHING_FOUND;
  let rules: AgentReport["rules"] = { variant: null, faults: [], warnings: [] };
  let clusterCidrs: { readonly of: NodeRulesWish | null; readonly texts: string[] } = { of: null, texts: [] };
  let repairs: AgentReport["repairs"] = [];
  /** Times are no news by themselves: they are written with the rest. */
  const times: Record<"heardAt" | "lastSyncAt" | "stoppedAt", string | null> = {
    heardAt: null,
    lastSyncAt: null,
    stoppedAt: null,
  };
  let written: Written | null = null;
  let cancel: () => void = () => undefined;
  let isClosed = false;

  /** Everything but the times, the peers and the Nodes left out. */
  const describe = () => {
    const { heardAt, lastSyncAt } = times;
    return {
      nodes: {
        source,
        isLive: known.isLive,
        known: known.snapshot?.nodes.length ?? 0,
        fault: describeSource(known),
      },
      ...found,
      rules,
      clusterCidrs: clusterCidrs.texts,
      readiness: health.readiness(),
      loops: health.loops(),
      repairs,
      has: [heardAt !== null, lastSyncAt !== null],
    };
  };
  const textOf = (state: ReturnType<typeof describe>, isBrief: boolean): string => {
    const { nodes, has: _has, ...rest } = state;
    if (faulty.of !== known.snapshot) {
      faulty = { of: known.snapshot, text: JSON.stringify(known.snapshot?.faults ?? []) };
    }
    const { heardAt, lastSyncAt, stoppedAt } = times;
    const head = { ...constant, writtenAt: date().toISOString(), stoppedAt };
    const body = { ...rest, lastSyncAt };
    const list = isBrief ? peers.faulty() : peers.all();
    const ofNodes = `${open(JSON.stringify({ ...nodes, heardAt }))},"faulty":${faulty.text}}`;
    return `${open(JSON.stringify(head))},"nodes":${ofNodes},"peers":${list},${JSON.stringify(body).slice(1)}\n`;
  };
  const write = () => {
    cancel();
    const state = describe();
    let fault: string | null = null;
    try {
      host.writeFile(path, textOf(state, false));
    } catch (error) {
      fault = `can't be written: ${messageOf(error)}: minicni status and doctor know less`;
    }
    journal.state("agent.json", fault);
    written = { atMs: now(), state: JSON.stringify(state), peers, snapshot: known.snapshot };
    cancel = later(MOST_MS, write);
  };
  /** Writes now when something is news, or as soon as it may. */
  const look = () => {
    if (isClosed) return;
    if (written === null) return write();
    const isSame = written.peers === peers && written.snapshot === known.snapshot;
    if (isSame && written.state === JSON.stringify(describe())) return;
    const left = written.atMs + LEAST_MS - now();
    if (left <= 0) return write();
    cancel();
    cancel = later(left, write);
  };
  const close = () => {
    isClosed = true;
    cancel();
  };

  return {
    hear: (metrics) => ({
      ...metrics,
      synced: () => {
        metrics.synced();
        times.lastSyncAt = date().toISOString();
      },
      apiEvent: (kind) => {
        metrics.apiEvent(kind);
        if (NEWS.includes(kind)) times.heardAt = date().toISOString();
      },
      repair: (object, cause, change, count = 1) => {
        metrics.repair(object, cause, change, count);
        const entry = { at: date().toISOString(), object, cause, count, change: shorten(change) };
        repairs = [...repairs.slice(1 - REPAIRS), entry];
      },
    }),
    network: ({ snapshot, self, outcome, mtu }) => {
      const { desired, programmed, conflicts, devices } = outcome;
      peers = peers.next(snapshot, self, outcome);
      found = {
        routes: FAMILIES.map((family) => ({
          family,
          desired: desired.get(family) ?? 0,
          programmed: programmed.get(family) ?? 0,
        })),
        conflicts: conflicts.map(({ message }) => message),
        tunnels: devices.map(({ link, underlay }) => ({ name: link.name, underlay })),
        podCidrs: self.podCidrs.map(formatPrefix),
        mtu,
      };
    },
    rules: (wish, { variant, faults, warnings, forwardBlocks }, uncovered) => {
      const all = [...warnings, ...(forwardBlocks ?? []), ...(uncovered === null ? [] : [uncovered])];
      rules = { variant: variant ?? null, faults: [...faults], warnings: all };
      if (clusterCidrs.of !== wish) clusterCidrs = { of: wish, texts: wish.clusterCidrs.map(formatPrefix) };
    },
    look: (of) => {
      known = of;
      look();
    },
    text: (isBrief) => {
      const pods = parts.pods?.() ?? [];
      const text = textOf(describe(), isBrief);
      return pods.length === 0 ? text : `${open(text.trimEnd())},"pods":${JSON.stringify(pods)}}\n`;
    },
    stop: () => {
      times.stoppedAt = date().toISOString();
      if (!isClosed) write();
      close();
    },
    close,
  };
}

const NOTHING_FOUND = { routes: [], conflicts: [], tunnels: [], podCidrs: [], mtu: 0 };

/** The text of an object without its end. */
function open(text: string): string {
  return text.slice(0, -1);
}

function shorten(text: string): string {
  return text.length <= LONGEST_CHANGE ? text : `${text.slice(0, LONGEST_CHANGE)}…`;
}

function laterByTimer(ms: number, work: () => void): () => void {
  const timer = setTimeout(work, ms);
  return () => clearTimeout(timer);
}
