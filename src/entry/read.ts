import type { Host } from "../host/machine.ts";
import { type ConfFile, KEPT_SUFFIX } from "../topology/conf-file.ts";
import { configFiles } from "../topology/conflist.ts";

/** Configurations and cached results have some kilobytes; of a stranger's file nothing more is wanted. */
const MOST_BYTES = 1 << 20;

/** Text of a regular file; null when there is none, or it can't be read, or is larger than 1 MiB. */
export function readText(path: string, host: Host): string | null {
  try {
    const found = host.observeFile(path);
    return found?.kind === "file" && found.bytes > MOST_BYTES ? null : host.readFile(path);
  } catch {
    return null;
  }
}

/**
 * The files in a folder of configurations that `isWanted` says yes to by name (default: all), with the text of those that
 * runtimes read and those that we put out of their way; none when there is no folder. Throws when it can't be listed.
 */
export function readConfigs(
  path: string,
  host: Host,
  isWanted: (name: string) => boolean = () => true,
): ConfFile[] {
  const names = host
    .listFolder(path)
    .filter((name) => isWanted(name) && host.observeFile(`${path}/${name}`)?.kind !== "folder");
  const read = new Set(configFiles(names));
  const isRead = (name: string) => read.has(name) || name.endsWith(KEPT_SUFFIX);
  return names.map((name) => ({ name, text: isRead(name) ? readText(`${path}/${name}`, host) : null }));
}

/** Names in a folder; null when there is no folder (a link to one is none of ours). */
export function namesIn(path: string, host: Host): string[] | null {
  return host.observeFile(path)?.kind === "folder" ? host.listFolder(path) : null;
}

/** Whether there is a folder; by its dot a link to one counts. */
export function isFolder(path: string, host: Host): boolean {
  return host.observeFile(`${path}/.`) !== null;
}
