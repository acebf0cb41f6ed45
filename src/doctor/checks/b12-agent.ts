import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, type Words, warn } from "../finding.ts";
import { agentLog, restartAgent } from "../restart.ts";
import type { Agent } from "../sections/agent.ts";
import { someOf } from "../some.ts";
import { ageAt } from "../span.ts";

type Report = NonNullable<Agent["report"]>;

/** The kubelet of each node tells of it every 5 min (nodeStatusReportFrequency): a silent API is a watch that hangs. */
const LONGEST_SILENCE_MS = 30 * 60_000;
/** A whole pass is due at least each resync period; so many that do not come to their end are no accident. */
const MISSED_PASSES = 5;
/** And never less: a source that is being connected again takes its time. */
const LEAST_SYNC_MS = 120_000;
/** What a source has for its first list before it is missed. */
const FIRST_LIST_MS = 60_000;
/** The same repair so often, in so short a time, has somebody behind it. */
const MANY_REPAIRS = 4;
const REPAIR_WINDOW_MS = 15 * 60_000;

/**
 * B12: a network goes on without its agent, and follows nothing any more; nobody notices before a node joins or leaves
 * (kube-router's healthz). A watch that hangs looks the same.
 */
export const agentCheck = check("B12", "the agent", ["agent"], ({ agent }) => {
  const { report, life } = agent;
  if (report === null || (life !== "running" && life !== "silent")) return judgeLife(agent);
  const found = [
    ...(life === "silent" ? judgeLife(agent) : []),
    ...judgeLoops(agent, report),
    ...judgeSource(agent, report),
    ...judgeSync(agent, report),
    ...judgeRepairs(report),
  ];
  return found.length > 0 ? found : [describe(agent, report)];
});

function evidenceOf({ process, path, report, isLocked }: Agent): string[] {
  return [
    ...(process === null ? [] : [`process ${process.pid}: ${process.words}`]),
    ...(isLocked === true ? ["a process holds the agent's lock"] : []),
    ...(report === null ? [] : [`${path}: minicni ${report.version}, written at ${report.writtenAt}`]),
  ];
}

function describe(agent: Agent, report: Report): Verdict {
  const age = (at: string | null) => (at === null ? "not yet" : `${ageAt(agent.lookedAt, at)} ago`);
  const { source, known, heardAt } = report.nodes;
  return pass(
    `the agent (minicni ${report.version}) runs since ${age(report.startedAt)}; all in place ${age(report.lastSyncAt)}; ${known} Nodes of ${source}, last word ${age(heardAt)}`,
    evidenceOf(agent),
  );
}

/** Nobody is there, or nobody who speaks. */
function judgeLife(agent: Agent): Verdict[] {
  const { life, report, isLocked, conflist, fault, path, node, lookedAt } = agent;
  const evidence = evidenceOf(agent);
  const written = report === null ? "" : ageAt(lookedAt, report.writtenAt);
  const unattended =
    "pods that are there go on; peers that join, leave or move are not followed, and nobody puts back what somebody removes";
  const fix = [agentLog(node), restartAgent(node)];
  switch (life) {
    case "absent":
      if (isLocked === true) {
        const message = `an agent runs and tells nothing in ${path}`;
        const cause = "it is older than this program, or its disk is full: what it says is not known here";
        return [warn({ message, evidence, cause, fix })];
      }
      if (conflist === null) return [skip(`the agent: none has run here in this boot (${fault ?? path})`)];
      return [
        fail({
          message: `no agent has run in this boot, and ${conflist} hands pods to minicni`,
          evidence: [...evidence, fault ?? `${path} is of another boot`],
          cause: "the plugin waits for the agent's pod CIDRs: every new pod stays in ContainerCreating",
          fix: [agentLog(node)],
        }),
      ];
    case "unknown":
      if (isLocked === null) return [skip(`the agent: not looked at: ${fault ?? path}`)];
      return [
        warn({
          message: `what the agent tells can't be read${isLocked ? "" : ", and none runs"}`,
          evidence: [...evidence, fault ?? path],
          cause: "it is of another version than this program, or the file is damaged",
          fix: ["/opt/cni/bin/minicni-standalone doctor  # of the agent's version", restartAgent(node)],
        }),
      ];
    case "stopped":
      return [
        warn({
          message: `the agent was stopped ${ageAt(lookedAt, report?.stoppedAt ?? lookedAt)} ago, and none runs now`,
          evidence: [...evidence, `${path}: stoppedAt ${report?.stoppedAt}`],
          cause: unattended,
          fix,
        }),
      ];
    case "dead":
      return [
        warn({
          message: `the agent has ended without a word, ${written} ago at most, and none runs now`,
          evidence: [...evidence, "nobody holds the agent's lock"],
          cause: `it was killed, as for want of memory (B14), or crashed: ${unattended}`,
          fix: [...fix, "journalctl -k --since -1h | grep -i 'killed process'"],
        }),
      ];
    default:
      return [
        warn({
          message: `the agent has told nothing for ${written}; while it lives it does every 15 s`,
          evidence,
          cause: `it hangs, or was killed where that can't be seen from here: ${unattended}`,
          fix,
        }),
      ];
  }
}

function judgeLoops(agent: Agent, { loops }: Report): Verdict[] {
  return loops.flatMap(({ name, fault }) =>
    fault === null
      ? []
      : [
          warn({
            message: `the agent's loop ${name} is ${fault}`,
            evidence: evidenceOf(agent),
            cause: "it waits for something that does not come; kubelet restarts the agent for it (/healthz)",
            fix: [agentLog(agent.node), restartAgent(agent.node)],
          }),
        ],
  );
}

function judgeSource(agent: Agent, { nodes, startedAt }: Report): Verdict[] {
  const { source, isLive, heardAt, fault, known } = nodes;
  const told = (words: Words) => [warn({ evidence: evidenceOf(agent), ...words })];
  // The first list of a large cluster takes a moment.
  const ageMs = Date.parse(agent.lookedAt) - Date.parse(startedAt);
  if (!isLive && fault === null && ageMs < FIRST_LIST_MS) return [];
  if (!isLive) {
    const since = heardAt === null ? "" : `; the last word came ${ageAt(agent.lookedAt, heardAt)} ago`;
    return told({
      message: `the agent has no list of Nodes of now from ${source}${since}`,
      evidence: [...evidenceOf(agent), ...(fault === null ? [] : [fault]), `${known} Nodes known`],
      cause:
        "it goes on with what it knows: routes of peers that are gone stay, peers that join are not reached",
      fix: [fault === null ? agentLog(agent.node) : `# ${fault}`],
    });
  }
  const silence = Date.parse(agent.lookedAt) - Date.parse(heardAt ?? startedAt);
  if (source.startsWith("file ") || silence < LONGEST_SILENCE_MS) return [];
  return told({
    message: `nothing was heard of the Nodes for ${ageAt(agent.lookedAt, heardAt ?? startedAt)} from ${source}`,
    cause:
      "each kubelet tells of its Node every 5 min: the connection looks open, and something between here and the API server drops it",
    fix: [agentLog(agent.node), restartAgent(agent.node)],
  });
}

/** What the last pass could not put in place; while it is only so for a moment it is no finding. */
function judgeSync(agent: Agent, report: Report): Verdict[] {
  const { lastSyncAt, startedAt, resyncPeriodMs, readiness, nodes } = report;
  const lateMs = Math.max(LEAST_SYNC_MS, MISSED_PASSES * resyncPeriodMs);
  const since = lastSyncAt ?? startedAt;
  const faults = readiness.filter(({ fault }) => fault !== null);
  const isLate = Date.parse(report.writtenAt) - Date.parse(since) > lateMs;
  const age = ageAt(agent.lookedAt, since);
  const evidence = [...evidenceOf(agent), ...faults.map(({ name, fault }) => `${name}: ${fault}`)];
  // Without a list of now there is a finding already.
  if (!isLate || (!nodes.isLive && faults.every(({ name }) => name === "nodes"))) return [];
  const what = faults.length === 0 ? "" : `: not ${someOf(faults.map(({ name }) => name))}`;
  const unpublished = faults.find(({ name }) => name === "published");
  const judge = unpublished === undefined ? warn : fail;
  return [
    judge({
      message:
        lastSyncAt === null
          ? `the agent has run for ${age} and not yet put everything in place${what}`
          : `the agent last left everything in place ${age} ago${what}`,
      evidence,
      cause:
        unpublished === undefined
          ? "pods that are there go on; some are not reached, or follow nothing (B1 to B7 say more)"
          : "nothing is published to the plugin: new pods stay in ContainerCreating",
      fix: ["minicni status", agentLog(agent.node)],
    }),
  ];
}

/** Somebody undoes what the agent repairs, which makes it again. */
function judgeRepairs({ repairs, writtenAt }: Report): Verdict[] {
  const isRecent = (at: string) => Date.parse(writtenAt) - Date.parse(at) < REPAIR_WINDOW_MS;
  const recent = repairs.filter(({ at, cause }) => cause === "kernel" && isRecent(at));
  const same = Map.groupBy(recent, ({ object, change }) => `${object}: ${change}`);
  return [...same].flatMap(([what, times]) => {
    const [first] = times;
    if (first === undefined || times.length < MANY_REPAIRS) return [];
    return [
      warn({
        message: `somebody undoes what the agent puts back: ${times.length} times in ${ageAt(writtenAt, first.at)}, ${what}`,
        evidence: times.map(({ at, object, change }) => `${at} repaired ${object}: ${change}`),
        cause:
          "another program sets up the same thing otherwise (firewalls A5, networkd and NetworkManager A6, another network plugin A7): in between pods lose packets",
        fix: ["minicni doctor --only A5,A6,A7", watchOf(first.object)],
      }),
    ];
  });
}

/** By what one sees it happen. */
function watchOf(object: string): string {
  switch (object) {
    case "rule":
      return "nft monitor rules  # of iptables-nft; names what comes and goes";
    case "route":
    case "link":
    case "address":
      return `ip -ts monitor ${object}`;
    case "neighbour":
      return "ip -ts monitor neigh";
    case "fdb":
      return "bridge -ts monitor fdb";
    default:
      return "minicni status  # with the last repairs";
  }
}
