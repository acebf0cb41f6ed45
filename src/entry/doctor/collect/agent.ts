import type { Agent } from "../../../doctor/sections/agent.ts";
import type { Host } from "../../../host/machine.ts";
import { commandLineOf } from "../../../host/processes.ts";
import { isOwnConflist } from "../../../topology/conf-file.ts";
import { CONFLIST_FILE } from "../../../topology/conflist.ts";
import { judgeLife, observeLock } from "../../admin/status/life.ts";
import { type AgentReport, readReport, reportPath } from "../../agent/report.ts";
import { readText } from "../../read.ts";
import { type DoctorContext, Unseen } from "./context.ts";
import { findAgent } from "./memory.ts";
import { placeOf } from "./place.ts";

/** Whether the agent lives, and what it says; read anew, since other collectors may have taken their time. */
export async function collectAgent(context: DoctorContext): Promise<Agent> {
  const { host, settings } = context;
  const { stateDir } = settings;
  requireState(context);
  const { report, fault } = readReport(stateDir, host);
  const { isLocked } = await observeLock(stateDir, host);
  const now = new Date();
  const path = reportPath(stateDir);
  const isReadable = report !== null || !isThere(path, host);
  const life = judgeLife(report, { isLocked, bootId: host.bootId(), nowMs: now.getTime(), isReadable });
  const pid = findAgent(context);
  const conflist = `${settings.confDir}/${CONFLIST_FILE}`;
  const text = readText(`${placeOf(context, settings.confDir)}/${CONFLIST_FILE}`, host);
  return {
    lookedAt: now.toISOString(),
    life,
    isLocked,
    process: pid === null ? null : { pid, words: describeProgram(commandLineOf(pid)) },
    path,
    fault,
    conflist: isOwnConflist(text) ? conflist : null,
    node: context.node,
    report: report === null || life === "absent" ? null : describe(report),
  };
}

/**
 * Throws Unseen in a container whose own state folder is not the node's: that no agent has told anything there says nothing.
 */
function requireState({ host, settings: { root, stateDir } }: DoctorContext): void {
  const isFolder = (path: string) => host.observeFile(`${path}/.`) !== null;
  if (root === "" || isFolder(stateDir) || !isFolder(`${root}${stateDir}`)) return;
  throw new Unseen(`the agent's ${stateDir} is elsewhere here: --state-dir ${root}${stateDir}`);
}

/** Program and command alone: options may hold what is nobody's business. */
function describeProgram(words: readonly string[]): string {
  return words.slice(0, words.indexOf("agent") + 1).join(" ");
}

/** Whether something is there, as far as can be seen. */
function isThere(path: string, host: Pick<Host, "isFile">): boolean {
  try {
    return host.isFile(path);
  } catch {
    return true;
  }
}

function describe(report: AgentReport): NonNullable<Agent["report"]> {
  const { minicni, startedAt, writtenAt, stoppedAt, readiness, loops, lastSyncAt, repairs } = report;
  const { source, isLive, heardAt, known, fault } = report.nodes;
  return {
    version: minicni,
    startedAt,
    writtenAt,
    stoppedAt,
    nodes: { source, isLive, heardAt, known, fault },
    readiness: readiness.map((one) => ({ name: one.name, fault: one.fault })),
    loops: [...loops],
    lastSyncAt,
    resyncPeriodMs: report.settings.resyncPeriodMs,
    repairs: [...repairs],
  };
}
