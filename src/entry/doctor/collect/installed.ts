import { OWN_TYPE } from "../../../cni/config.ts";
import { describeDrift } from "../../../doctor/conflist-drift.ts";
import type { Installed } from "../../../doctor/sections/installed.ts";
import { BusyError, messageOf } from "../../../host/errors.ts";
import { digestBytes } from "../../../host/file-steps.ts";
import { readLauncher } from "../../../host/launcher.ts";
import type { Host } from "../../../host/machine.ts";
import { oldConfigs } from "../../../topology/conf-file.ts";
import { CONFLIST_FILE, formatConflist } from "../../../topology/conflist.ts";
import { STANDALONE } from "../../../topology/install.ts";
import { judgeLife, observeLock } from "../../admin/status/life.ts";
import { readReport } from "../../agent/report.ts";
import { observeLoopback, observeProgram } from "../../install/index.ts";
import { hasLauncher } from "../../install/programs.ts";
import { readConfigs } from "../../read.ts";
import { VERSION } from "../../version.ts";
import { type DoctorContext, Unseen } from "./context.ts";
import { findAgent } from "./memory.ts";
import { placeOf } from "./place.ts";

/** A program that is ours answers in some 15 ms; the first time all of its 100 MB may have to come from a slow disk. */
const VERSION_TIMEOUT_MS = 30_000;

/** The programs and the configuration that are ours, against those that run. */
export async function collectInstalled(context: DoctorContext): Promise<Installed> {
  const { host, settings, node } = context;
  const { binDir, confDir } = settings;
  const folder = placeOf(context, binDir);
  const seen = await looking(binDir, async () => ({
    plugin: await observePlugin(folder, host),
    standalone: await observeStandalone(`${folder}/${STANDALONE}`, host),
    loopback: observeLoopback(folder, host),
    temporaries: await observeTemporaries(folder, host),
  }));
  return {
    binDir,
    confDir,
    node,
    self: { path: process.execPath, version: VERSION },
    ...seen,
    agent: await observeAgent(context),
    conflist: observeConflist(context),
    oldConfigs: await looking(confDir, async () => oldConfigs(readConfigs(placeOf(context, confDir), host))),
  };
}

async function looking<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Unseen(`${folder} can't be read: ${messageOf(error)}`);
  }
}

/** An installer that is at work holds the folder's lock: what it writes is no leftover. */
async function observeTemporaries(folder: string, host: Host): Promise<string[]> {
  const isThere = (path: string) => host.observeFile(path) !== null;
  const look = () => [OWN_TYPE, STANDALONE].map((name) => `${folder}/${name}.tmp`).filter(isThere);
  if (look().length === 0) return [];
  try {
    return await host.withLock(folder, 0, look);
  } catch (error) {
    if (error instanceof BusyError) return [];
    throw error;
  }
}

async function observePlugin(folder: string, host: Host): Promise<Installed["plugin"]> {
  const path = `${folder}/${OWN_TYPE}`;
  const found = observeProgram(path, host);
  if (found === null) return null;
  if (hasLauncher(folder, host)) {
    const isSame = found.digest === digestBytes(readLauncher(process.arch));
    return { path, ...found, kind: "launcher", isSame, version: null };
  }
  const version = await askVersion(path, host);
  return { path, ...found, kind: version === null ? "other" : "whole", isSame: false, version };
}

async function observeStandalone(path: string, host: Host): Promise<Installed["standalone"]> {
  const found = observeProgram(path, host);
  return found === null ? null : { path, ...found, version: await askVersion(path, host) };
}

/** `0.1.0` of a program that answers as ours do; null for any other. */
async function askVersion(path: string, host: Pick<Host, "spawn">): Promise<string | null> {
  try {
    const argv = [path, "--version"];
    const { exitCode, stdout } = await host.spawn({ argv, env: {}, timeoutMs: VERSION_TIMEOUT_MS });
    return exitCode === 0 ? (/^minicni (\S+)\n$/.exec(stdout)?.[1] ?? null) : null;
  } catch {
    return null;
  }
}

async function observeAgent(context: DoctorContext): Promise<Installed["agent"]> {
  const { host, settings } = context;
  const { report } = readReport(settings.stateDir, host);
  if (report === null) return null;
  const { isLocked } = await observeLock(settings.stateDir, host);
  const by = { isLocked, bootId: host.bootId(), nowMs: Date.now(), isReadable: true };
  const life = judgeLife(report, by);
  if (life === "absent") return null;
  const pid = findAgent(context);
  return {
    version: report.minicni,
    digest: pid === null ? null : digestOf(`/proc/${pid}/exe`, host),
    isRunning: life === "running",
    isReady: report.readiness.every(({ fault }) => fault === null),
  };
}

/** Another user's process does not show its program. */
function digestOf(path: string, host: Pick<Host, "digestFile">): string | null {
  try {
    return host.digestFile(path);
  } catch {
    return null;
  }
}

/** Where the agent is in a container, its own folders are mounted from those of the same names. */
function observeConflist(context: DoctorContext): Installed["conflist"] {
  const { host, settings, agent } = context;
  const path = `${settings.confDir}/${CONFLIST_FILE}`;
  if (agent?.settings.confDir === "") return { path, state: "none", drift: [] };
  const wanted = formatConflist(agent?.settings.stateDir ?? settings.stateDir);
  try {
    const text = host.readFile(`${placeOf(context, settings.confDir)}/${CONFLIST_FILE}`);
    if (text === null) return { path, state: "absent", drift: [] };
    const state = text === wanted ? "same" : "differs";
    return { path, state, drift: state === "same" ? [] : describeDrift(text, wanted) };
  } catch (error) {
    return { path, state: "unreadable", drift: [messageOf(error)] };
  }
}
