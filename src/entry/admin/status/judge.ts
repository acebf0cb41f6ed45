import { NOT_YET } from "../../agent/health.ts";
import type { AgentReport } from "../../agent/report.ts";
import { summarise } from "../../agent/summary.ts";
import { formatSpan } from "../../output/text.ts";
import type { SeenNode } from "./seen.ts";

/** Something that is not as it should be: what it is about, and what is wrong. One line each. */
export interface Wrong {
  readonly about: string;
  readonly message: string;
}

const SEE_LOG =
  "see: kubectl -n kube-system get pods -o wide -l app.kubernetes.io/name=minicni, and the log of this node's";

/** What is wrong on this node. What could not be seen is no fault of the node's, but for its agent. */
export function judgeNode(seen: SeenNode): Wrong[] {
  const { agent, report, published } = seen;
  const isAlive = agent.life === "running" || agent.life === "silent";
  const life = describeLifeFault(seen);
  const publication =
    published === null
      ? agent.life === "running"
        ? "nothing is published yet: no pod can start here by the agent's pod CIDRs"
        : null
      : published.notReady;
  return [
    ...asWrong("agent", [life]),
    ...asWrong("pods", [publication]),
    ...(report !== null && isAlive ? judgeReport(report) : []),
    ...judgeKernel(seen),
    ...seen.ranges.flatMap(({ network, range, free }) =>
      asWrong("addresses", [free === 0 ? `${network} ${range} has no free address: no pod can start` : null]),
    ),
  ];
}

/** How long something is ago, in words. */
export function ageOf(at: string, takenAt: string): string {
  return formatSpan(Math.max(0, Date.parse(takenAt) - Date.parse(at)));
}

function describeLifeFault({ agent, report, takenAt }: SeenNode): string | null {
  const heard = report === null ? "" : ageOf(report.writtenAt, takenAt);
  switch (agent.life) {
    case "running":
      return null;
    case "silent":
      return `has told nothing for ${heard}: it hangs or was killed; ${SEE_LOG}`;
    case "stopped":
      return `was stopped ${ageOf(report?.stoppedAt ?? takenAt, takenAt)} ago: nobody repairs routes, tunnels and rules; ${SEE_LOG}`;
    case "dead":
      return `has ended without a word (killed?), ${heard} ago at most: nobody repairs routes, tunnels and rules; ${SEE_LOG}`;
    case "absent":
      return agent.isLocked === true
        ? "runs, and tells nothing: it is older than this program, or its disk is full"
        : `none has run in this boot; ${SEE_LOG}`;
    case "unknown":
      return {
        true: "runs; what it tells can't be read",
        false: `none runs, and what the last one told can't be read; ${SEE_LOG}`,
        null: "whether one runs can't be seen",
      }[`${agent.isLocked}`];
  }
}

/** What an agent says of itself that is not well; also of one on another node. */
export function judgeReport(report: AgentReport): Wrong[] {
  const { nodes, peers, conflicts, rules, readiness, loops } = report;
  const leftOut = nodes.faulty.map(({ node, message }) => `${node} ${message}`);
  const ofPeers = peers.flatMap(({ name, path, fault }) =>
    asWrong(`peer ${name}`, [fault ?? (path === "none" ? "is not reached" : null)]),
  );
  // Routes that peers with a fault lack are told by then.
  const routes = report.routes.map(({ family, desired, programmed }) =>
    desired - programmed > ofPeers.length ? `IPv${family}: ${programmed} of ${desired} are there` : null,
  );
  const isNew = ({ fault }: { readonly fault: string | null }) => fault === NOT_YET;
  const notYet = readiness.filter(isNew).map(({ name }) => name);
  return [
    ...asWrong("Nodes", [nodes.fault, summarise("left out", leftOut)]),
    ...ofPeers,
    ...withoutRepeated(
      [nodes.fault ?? "", ...ofPeers.map(({ message }) => message)],
      [
        ...asWrong("conflict", conflicts),
        ...asWrong("rules", [...rules.faults, ...rules.warnings]),
        ...asWrong("routes", routes),
        ...asWrong("readiness", [notYet.length === 0 ? null : `not yet: ${notYet.join(", ")}`]),
        ...readiness.flatMap((one) =>
          asWrong(`readiness ${one.name}`, [isNew(one) ? null : one.fault, one.warning]),
        ),
        ...loops.flatMap(({ name, fault }) => asWrong(`loop ${name}`, [fault])),
      ],
    ),
  ];
}

/** What the kernel lacks now. */
function judgeKernel({ report, missing, links, takenAt, agent }: SeenNode): Wrong[] {
  if (report === null) return [];
  const told = new Set(report.peers.flatMap(({ name, fault }) => (fault === null ? [] : [name])));
  const isKnown = agent.life === "running";
  const routes = missing.filter(({ peer }) => !(isKnown && told.has(peer)));
  const since = isKnown
    ? ` (the agent looked ${ageOf(report.lastSyncAt ?? report.startedAt, takenAt)} ago)`
    : "";
  const tunnels =
    links === null
      ? []
      : report.tunnels.map(({ name }) => {
          const link = links.find((one) => one.name === name);
          return link === undefined ? `${name} is not there` : link.isUp ? null : `${name} is down`;
        });
  const lost = summarise(
    "not there now",
    routes.map(({ peer, dst }) => `${dst} of ${peer}`),
  );
  return [...asWrong("routes", [lost === null ? null : lost + since]), ...asWrong("tunnel", tunnels)];
}

function asWrong(about: string, messages: readonly (string | null)[]): Wrong[] {
  return messages.flatMap((message) => (message === null ? [] : [{ about, message }]));
}

/** The same thing is often said at several places: in a list's sentences, and in the one that joins them. */
function withoutRepeated(told: readonly string[], all: readonly Wrong[]): Wrong[] {
  const partsOf = (message: string) => message.split("; ");
  const said = new Set(told.flatMap(partsOf));
  return all.filter(({ message }) => {
    const parts = partsOf(message);
    const isNews = parts.some((part) => !said.has(part));
    for (const part of parts) said.add(part);
    return isNews;
  });
}
