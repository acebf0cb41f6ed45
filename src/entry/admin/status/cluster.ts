import { formatAddress } from "../../../net/address.ts";
import type { ClusterNode } from "../../../net/node.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import type { AgentReport, ReadReport } from "../../agent/report.ts";
import { summarise } from "../../agent/summary.ts";
import { formatSpan } from "../../output/text.ts";
import type { KnownCluster } from "../nodes.ts";
import { judgeReport } from "./judge.ts";

/** How old a last sync may be: what docs/metrics.md calls worth an alert. */
const SYNC_AGE_MS = 300_000;

/** What an agent answered about itself. */
export interface AnsweredAgent {
  readonly version: string;
  readonly routes: { readonly want: number; readonly have: number };
  /** Age of its last whole sync when it answered, in milliseconds, by its own clock; null: none yet. */
  readonly lastSyncMs: number | null;
}

/** One Node, seen from here. */
export interface ClusterRow {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
  /** How its pods are reached from here; null: a Node that is left out, or not known. */
  readonly path: "self" | "direct" | "tunnel" | "none" | null;
  /** Routes of this node's to its pod CIDRs; null: its own, or not seen. */
  readonly routes: { readonly want: number; readonly have: number } | null;
  readonly ready: "True" | "False" | "Unknown" | null;
  readonly networkUnavailable: "True" | "False" | "Unknown" | null;
  /** Null: not asked, or no answer. */
  readonly agent: AnsweredAgent | null;
  readonly wasAsked: boolean;
  /** What is wrong, one line each. */
  readonly wrong: readonly string[];
}

/** What rows are made of. */
export interface ClusterView {
  readonly cluster: KnownCluster;
  /** Name of this Node; null: not known. */
  readonly self: string | null;
  /** Of this node's agent; null: none to go by. */
  readonly report: AgentReport | null;
  /** Destinations of our routes in the kernel, and whether each leads into a tunnel; null: not seen. */
  readonly destinations: ReadonlyMap<string, "direct" | "tunnel"> | null;
  /** What agents answered, by Node; those not asked are not in it. */
  readonly answers: ReadonlyMap<string, ReadReport>;
}

/** A row for every Node, those left out as well, by name. */
export function describeCluster(view: ClusterView): ClusterRow[] {
  const { snapshot } = view.cluster;
  const peers = new Map(view.report?.peers.map((peer) => [peer.name, peer]));
  const rows = (snapshot?.nodes ?? []).map((node) => describeRow(node, peers.get(node.name), view));
  const known = new Set(rows.map(({ name }) => name));
  const leftOut = new Map<string, string[]>();
  for (const { node, message } of snapshot?.faults ?? [])
    leftOut.set(node, [...(leftOut.get(node) ?? []), message]);
  for (const [name, messages] of leftOut) {
    if (known.has(name)) continue;
    const wrong = [`left out: ${messages.join("; ")}`, ...describeState(name, view)];
    rows.push({ ...NOTHING, name, ...statesOf(name, view), wrong });
  }
  const { compare } = new Intl.Collator("en", { numeric: true });
  return rows.sort((a, b) => compare(a.name, b.name));
}

const NOTHING = {
  addresses: [],
  podCidrs: [],
  path: null,
  routes: null,
  agent: null,
  wasAsked: false,
};

function describeRow(
  node: ClusterNode,
  peer: AgentReport["peers"][number] | undefined,
  view: ClusterView,
): ClusterRow {
  const { name } = node;
  const isSelf = name === view.self;
  const podCidrs = node.podCidrs.map(formatPrefix);
  const there = podCidrs.flatMap((dst) => view.destinations?.get(dst) ?? []);
  const routes = isSelf || view.destinations === null ? null : { want: podCidrs.length, have: there.length };
  const ofKernel = view.destinations === null ? null : (there[0] ?? "none");
  const lost =
    view.destinations === null ? [] : podCidrs.filter((dst) => view.destinations?.has(dst) === false);
  const fault = isSelf ? null : (peer?.fault ?? null);
  const asked = view.answers.get(name);
  return {
    name,
    addresses: node.addresses.map(formatAddress),
    podCidrs,
    path: isSelf ? "self" : (peer?.path ?? ofKernel),
    routes,
    ...statesOf(name, view),
    agent: asked === undefined || asked.report === null ? null : describeAnswer(asked.report),
    wasAsked: asked !== undefined,
    wrong: [
      ...describeState(name, view),
      ...(fault === null ? [] : [`from here: ${fault}`]),
      ...(isSelf || fault !== null || lost.length === 0 ? [] : [`no route from here to ${lost.join(", ")}`]),
      ...(asked === undefined ? [] : describeAnswerFaults(asked, isSelf)),
    ],
  };
}

function statesOf(name: string, { cluster }: ClusterView): Pick<ClusterRow, "ready" | "networkUnavailable"> {
  const state = cluster.states.get(name);
  return { ready: state?.ready ?? null, networkUnavailable: state?.networkUnavailable ?? null };
}

function describeState(name: string, view: ClusterView): string[] {
  const { ready, networkUnavailable } = statesOf(name, view);
  return [
    ...(ready === "False" ? ["its kubelet says that it is not Ready"] : []),
    ...(ready === "Unknown" ? ["its kubelet does not say whether it is Ready: is the node down?"] : []),
    ...(networkUnavailable === "True"
      ? ["NetworkUnavailable=True keeps pods away: MINICNI_NODE_CONDITION=true sets it right"]
      : []),
  ];
}

function describeAnswer({ minicni, routes, writtenAt, lastSyncAt }: AgentReport): AnsweredAgent {
  const sum = (of: "desired" | "programmed") => routes.reduce((all, one) => all + one[of], 0);
  return {
    version: minicni,
    routes: { want: sum("desired"), have: sum("programmed") },
    lastSyncMs: lastSyncAt === null ? null : Math.max(0, Date.parse(writtenAt) - Date.parse(lastSyncAt)),
  };
}

/** What an agent says, a line each; many peers are summed up, and our own are told in their rows. */
function describeAnswerFaults({ report, fault }: ReadReport, isSelf: boolean): string[] {
  if (report === null) return [`its agent: ${fault}`];
  const { lastSyncMs } = describeAnswer(report);
  const limitMs = SYNC_AGE_MS + 2 * report.settings.resyncPeriodMs;
  const isLate = lastSyncMs !== null && lastSyncMs > limitMs;
  const ofPeers: string[] = [];
  const others: string[] = [];
  for (const { about, message } of judgeReport(report))
    (about.startsWith("peer ") ? ofPeers : others).push(`${about}: ${message}`);
  const peers = ofPeers.length === 1 ? (ofPeers[0] ?? null) : summarise("peers", ofPeers);
  return [
    ...(report.stoppedAt === null ? [] : ["its agent is ending"]),
    ...(isLate ? [`its last sync was ${formatSpan(lastSyncMs)} ago`] : []),
    ...[...others, ...(isSelf || peers === null ? [] : [peers])].map((line) => `it says: ${line}`),
  ];
}
