import { formatAddress } from "../../net/address.ts";
import type { ClusterNode, NodeFault, NodeSnapshot } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import type { Path } from "../../topology/path.ts";
import type { NetworkOutcome } from "./network.ts";
import type { AgentReport } from "./report.ts";

type Peer = AgentReport["peers"][number];
type Outcome = Pick<NetworkOutcome, "peerFaults" | "conflicts" | "failures" | "paths">;

/** The peers of a report as JSON, made when it is asked for: with thousands of them it is most of the work. */
export interface ReportedPeers {
  all(): string;
  /** Those with a fault. */
  faulty(): string;
  /** What a pass found; the same object when that is nothing new. */
  next(snapshot: NodeSnapshot, self: ClusterNode, outcome: Outcome): ReportedPeers;
}

/** Before the first pass. */
export const NO_PEERS: ReportedPeers = { all: () => "[]", faulty: () => "[]", next: reportPeers };

function reportPeers(snapshot: NodeSnapshot, self: ClusterNode, outcome: Outcome): ReportedPeers {
  const { paths } = outcome;
  const faults = describePeerFaults(outcome);
  let text: string | null = null;
  const list = () => describePeers(snapshot, self, paths, faults);
  const reported: ReportedPeers = {
    all: () => {
      text ??= JSON.stringify(list());
      return text;
    },
    faulty: () => (faults.length === 0 ? "[]" : JSON.stringify(list().filter(({ fault }) => fault !== null))),
    next: (nextSnapshot, nextSelf, next) => {
      const isSame = nextSnapshot === snapshot && nextSelf === self && next.paths === paths;
      if (isSame && areSame(faults, describePeerFaults(next))) return reported;
      return reportPeers(nextSnapshot, nextSelf, next);
    },
  };
  return reported;
}

/** What is wrong with single peers: those not reached, and those whose route is not there; as the pass found it. */
function describePeerFaults({
  peerFaults,
  conflicts,
  failures,
  paths,
}: Pick<NetworkOutcome, "peerFaults" | "conflicts" | "failures" | "paths">): readonly NodeFault[] {
  const routes = failures.flatMap(({ step, command, message }) =>
    step.op === "route.replace" ? [{ dst: step.route.dst, message: `\`${command}\`: ${message}` }] : [],
  );
  const missing = [...conflicts, ...routes];
  if (missing.length === 0) return peerFaults;
  const owners = new Map(paths.map(({ dst, peer }) => [formatPrefix(dst), peer.name]));
  const ofRoutes = missing.flatMap(({ dst, message }) => {
    const node = owners.get(formatPrefix(dst));
    return node === undefined ? [] : [{ node, message }];
  });
  return [...peerFaults, ...ofRoutes];
}

/** Every peer of the snapshot, in its order. */
function describePeers(
  { nodes }: NodeSnapshot,
  self: ClusterNode,
  paths: readonly Path[],
  faults: readonly NodeFault[],
): Peer[] {
  const kinds = new Map<string, Path["kind"]>();
  for (const { peer, dst, kind } of paths) if (dst === peer.podCidrs[0]) kinds.set(peer.name, kind);
  const said = new Map<string, string>();
  for (const { node, message } of faults) {
    const before = said.get(node);
    said.set(node, before === undefined ? message : `${before}; ${message}`);
  }
  return nodes.flatMap((peer) => {
    if (peer.name === self.name) return [];
    const { name, addresses, podCidrs } = peer;
    return [
      {
        name,
        addresses: addresses.map(formatAddress),
        podCidrs: podCidrs.map(formatPrefix),
        path: kinds.get(name) ?? "none",
        fault: said.get(name) ?? null,
      },
    ];
  });
}

function areSame(before: readonly NodeFault[], after: readonly NodeFault[]): boolean {
  const isSame = ({ node, message }: NodeFault, index: number) =>
    before[index]?.node === node && before[index]?.message === message;
  return before.length === after.length && after.every(isSame);
}
