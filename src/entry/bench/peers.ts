import type { Host } from "../../host/machine.ts";

/** Reference plugins on this machine. */
export interface Peers {
  /** The folder that holds the programs. */
  readonly folder: string;
  /** As they tell it, or their package: "1.9.1", "1.1.1+ds1"; the folder's own name where nobody knows. */
  readonly version: string;
}

/** Where packages put plugins: Debian's, and what the project's own archives are unpacked into. */
const FOLDERS = ["/usr/lib/cni", "/opt/cni/bin"] as const;
/** What a folder needs to be one of the reference plugins. */
const PROGRAMS = ["bridge", "host-local"] as const;

/** Folders of newer plugins than the system's: the variable CNI_PEERS, with ":" between. */
export function peerFolders(): string[] {
  return (process.env.CNI_PEERS ?? "").split(":").filter((folder) => folder !== "");
}

/**
 * The reference plugins to measure against: those of the system, then those of `more` folders. Of two folders with one
 * version the first counts. Empty: none is installed.
 */
export async function findPeers(host: Host, more: readonly string[]): Promise<Peers[]> {
  const system = FOLDERS.find((folder) => isComplete(host, folder));
  const found: Peers[] = [];
  for (const folder of [...(system === undefined ? [] : [system]), ...more]) {
    if (!isComplete(host, folder)) continue;
    const version = await versionOf(host, folder);
    if (!found.some((other) => other.version === version)) found.push({ folder, version });
  }
  return found;
}

function isComplete(host: Host, folder: string): boolean {
  return PROGRAMS.every((name) => host.isFile(`${folder}/${name}`));
}

/** Upstream's builds name their version, Debian's do not. */
async function versionOf(host: Host, folder: string): Promise<string> {
  const about = await ask(host, [`${folder}/bridge`, "--version"]);
  const told = /^CNI bridge plugin (?:version )?v?([0-9]\S*)/m.exec(about)?.[1];
  if (told !== undefined) return told;
  const owner = (await ask(host, ["dpkg-query", "-S", `${folder}/bridge`])).split(":")[0] ?? "";
  const version = owner === "" ? "" : await ask(host, ["dpkg-query", "-W", "-f", "$" + "{Version}", owner]);
  // Debian's own number behind the last "-" says nothing about the program.
  return version.trim().replace(/-[^-]*$/, "") || (folder.split("/").at(-1) ?? folder);
}

/** What a program says on either of its outputs; empty when it fails or can't be run. */
async function ask(host: Host, argv: readonly string[]): Promise<string> {
  try {
    const { exitCode, stdout, stderr } = await host.spawn({ argv, stdin: "" });
    return exitCode === 0 ? stdout + stderr : "";
  } catch {
    return "";
  }
}
