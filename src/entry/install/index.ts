import { OWN_TYPE } from "../../cni/config.ts";
import { messageOf } from "../../host/errors.ts";
import { digestBytes } from "../../host/file-steps.ts";
import { readLauncher } from "../../host/launcher.ts";
import type { Host } from "../../host/machine.ts";
import { formatPlan } from "../../plan/format.ts";
import { type ConfFile, KEPT_SUFFIX } from "../../topology/conf-file.ts";
import {
  type FoundProgram,
  LOOPBACK,
  leadsToOurs,
  type ObservedInstall,
  planInstall,
  STANDALONE,
} from "../../topology/install.ts";
import { isFolder, readConfigs } from "../read.ts";
import { VERSION } from "../version.ts";
import { tellFailure } from "./failure.ts";
import { createInstallCommand, type InstallSettings, parse } from "./options.ts";
import { hasLauncher } from "./programs.ts";

/** What another installer takes to write and fsync 100 MB on a busy disk. */
export const LOCK_TIMEOUT_MS = 60_000;

/**
 * `minicni install`: puts `source` (our own binary) and a launcher of it into the plugins' folder. Returns the exit code: 0 done or nothing to
 * do, 1 failed (the node is as before, or better), 2 misused, 3: a dry run found something to change.
 */
export async function runInstall(
  args: readonly string[],
  host: Host,
  source: string,
  print: (text: string) => void,
): Promise<number> {
  const settings = await parse<InstallSettings>(createInstallCommand(), args, host, { print, width: null });
  if (typeof settings === "number") return settings;
  const { binDir, dryRun } = settings;
  const work = () => install(settings, source, host, print);
  try {
    // Two installers would write the same temp file.
    return await (dryRun || !isFolder(binDir, host) ? work() : host.withLock(binDir, LOCK_TIMEOUT_MS, work));
  } catch (error) {
    return tellFailure("install", error, host);
  }
}

async function install(
  settings: InstallSettings,
  source: string,
  host: Host,
  print: (text: string) => void,
): Promise<number> {
  const { stages, notes } = planInstall(observeInstall(settings, source, host));
  const plan = stages.flat();
  for (const note of notes) host.log(`warning: ${note}`);
  if (settings.dryRun) {
    print(formatPlan(plan));
    return plan.length === 0 ? 0 : 3;
  }
  for (const stage of stages) await host.execute(stage);
  print(plan.length === 0 ? `${settings.binDir}: as it should be\n` : formatPlan(plan));
  return 0;
}

function observeInstall({ binDir, confDir }: InstallSettings, source: string, host: Host): ObservedInstall {
  const isThere = (name: string) => host.observeFile(`${binDir}/${name}`) !== null;
  const content = readLauncher(process.arch);
  const digest = host.digestFile(source);
  const plugin = observeProgram(`${binDir}/${OWN_TYPE}`, host);
  return {
    binDir,
    confDir,
    source: { path: source, digest, version: VERSION },
    launcher: { content, digest: digestBytes(content) },
    standalone: observeProgram(`${binDir}/${STANDALONE}`, host),
    plugin: plugin && { ...plugin, isOurs: plugin.digest === digest || hasLauncher(binDir, host) },
    isFolder: isFolder(binDir, host),
    loopback: observeLoopback(binDir, host),
    temporaries: [`${OWN_TYPE}.tmp`, `${STANDALONE}.tmp`].filter(isThere),
    hasKeptBinary: isThere(`${OWN_TYPE}${KEPT_SUFFIX}`),
    configs: readOthers(confDir, host),
  };
}

/** The plugin can be installed without a look at them. */
function readOthers(confDir: string, host: Host): ConfFile[] {
  try {
    return readConfigs(confDir, host);
  } catch (error) {
    host.log(`warning: whether another configuration is in the way can't be seen: ${messageOf(error)}`);
    return [];
  }
}

/** What is under a name of ours in the plugins' folder; null: nothing. Throws what the disk says. */
export function observeProgram(path: string, host: Host): FoundProgram | null {
  const found = host.observeFile(path);
  if (found === null) return null;
  // A link that leads nowhere is replaced as another file would be.
  if (found.kind === "link" && !leadsToFile(path, host)) return { digest: "none", hasMode: false };
  if (found.kind !== "link" && found.kind !== "file") return { digest: null, hasMode: false };
  // Whoever made a link to the right content knows why.
  const hasMode = found.kind === "link" || isPluginMode(found.mode);
  return { digest: host.digestFile(path), hasMode };
}

/** Everybody may run it, nobody but its owner write it (root will run it), and it gives no rights (set-user-ID). */
function isPluginMode(mode: number): boolean {
  return (mode & 0o111) === 0o111 && (mode & 0o6022) === 0;
}

function leadsToFile(path: string, host: Host): boolean {
  try {
    return host.isFile(path);
  } catch {
    // In a circle, or to where nobody may look.
    return false;
  }
}

/** Whether the folder has a `loopback` that can be run. Throws what the disk says. */
export function observeLoopback(binDir: string, host: Host): ObservedInstall["loopback"] {
  const path = `${binDir}/${LOOPBACK}`;
  const found = host.observeFile(path);
  if (found === null) return "absent";
  // A link to our own program is whole as soon as that is there.
  if (found.kind === "link" && leadsToOurs(found.target, binDir)) return "there";
  if (found.kind === "link") return leadsToFile(path, host) ? "there" : "broken";
  return found.kind === "file" && (found.mode & 0o111) !== 0 && found.bytes > 0 ? "there" : "broken";
}
