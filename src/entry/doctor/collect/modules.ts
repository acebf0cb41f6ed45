import { parseModuleBlock } from "../../../doctor/kernel-features.ts";
import { type DoctorContext, readNumber, requireHostFiles } from "./context.ts";

/** Where modprobe looks, those in front first (modprobe.d(5)). */
const FOLDERS = [
  "/etc/modprobe.d",
  "/run/modprobe.d",
  "/usr/local/lib/modprobe.d",
  "/usr/lib/modprobe.d",
  "/lib/modprobe.d",
];
const LOADED = "/proc/modules";

/** Modules of a kernel, and whether it could load more of them. */
export interface KnownModules {
  /** By name, with where they are: `loaded`, `built in`, `on the disk`. */
  readonly places: ReadonlyMap<string, string>;
  /** By name, the line of modprobe.d that keeps it from being loaded. */
  readonly blocks: ReadonlyMap<string, string>;
  /** The disk has modules, and none of this kernel. */
  readonly isReplaced: boolean;
  readonly isLocked: boolean;
  /** Why the kernel could load a module for a trial; null: it could not. */
  readonly risk: string | null;
}

/** The modules of the kernel that runs. Never throws. */
export function findModules(context: DoctorContext, release: string): KnownModules {
  const { host, settings } = context;
  const loaded = host.readFile(LOADED);
  const places = new Map<string, string>();
  for (const line of (loaded ?? "").split("\n")) {
    const [name = ""] = line.split(" ");
    if (name !== "") places.set(name, "loaded");
  }
  const folder = `${settings.root}/lib/modules`;
  const hasDisk = seesFiles(context) && host.listFolder(folder).length > 0;
  const read = (name: string) => (hasDisk ? host.readFile(`${folder}/${release}/${name}`) : null);
  const onDisk = read("modules.dep");
  for (const [text, place] of [
    [read("modules.builtin"), "built in"],
    [onDisk, "on the disk"],
  ] as const) {
    for (const line of (text ?? "").split("\n")) {
      const name = /([^/:]+)\.ko(\.\w+)?(:|$)/.exec(line)?.[1]?.replaceAll("-", "_");
      if (name !== undefined && !places.has(name)) places.set(name, place);
    }
  }
  const isLocked = readNumber(context, "/proc/sys/kernel/modules_disabled") === 1;
  const isClosed = loaded === null || isLocked || hasDisk;
  return {
    places,
    blocks: hasDisk ? findBlocks(context) : new Map(),
    isReplaced: hasDisk && loaded !== null && onDisk === null,
    isLocked,
    risk: isClosed ? null : "no such module is loaded, and those on the host's disk can't be seen from here",
  };
}

function seesFiles(context: DoctorContext): boolean {
  try {
    requireHostFiles(context);
    return true;
  } catch {
    return false;
  }
}

function findBlocks({ host, settings }: DoctorContext): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const folder of FOLDERS) {
    for (const name of host.listFolder(`${settings.root}${folder}`)) {
      if (name.endsWith(".conf") && !files.has(name)) files.set(name, `${folder}/${name}`);
    }
  }
  const blocks = new Map<string, string>();
  for (const path of files.values()) {
    for (const [index, line] of (host.readFile(`${settings.root}${path}`) ?? "").split("\n").entries()) {
      const block = parseModuleBlock(line);
      if (block !== null) blocks.set(block.module, `${path}:${index + 1}: ${block.text}`);
    }
  }
  return blocks;
}
