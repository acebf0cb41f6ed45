import type { Host } from "../../host/machine.ts";
import type { ReadFile } from "../../topology/uninstall-files.ts";

/** Text of a regular file; null when there is none, or it can't be read. */
export function readText(path: string, host: Host): string | null {
  try {
    return host.readFile(path);
  } catch {
    return null;
  }
}

/** Every name in a folder with its text; none when there is no folder. Throws when it can't be listed. */
export function readFolder(path: string, host: Host): ReadFile[] {
  return host.listFolder(path).map((name) => ({ name, text: readText(`${path}/${name}`, host) }));
}

/** Names in a folder; null when there is no folder (a link to one is none of ours). */
export function namesIn(path: string, host: Host): string[] | null {
  return host.observeFile(path)?.kind === "folder" ? host.listFolder(path) : null;
}
