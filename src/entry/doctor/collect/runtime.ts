import { OWN_TYPE } from "../../../cni/config.ts";
import type { Runtime } from "../../../doctor/sections/runtime.ts";
import { messageOf } from "../../../host/errors.ts";
import { isRoot, type ObservedFolder, observeFolder } from "../../../host/folder.ts";
import { type InotifyWatch, observeWatches } from "../../../host/inotify.ts";
import { commandLineOf, observeProcesses } from "../../../host/processes.ts";
import { namesOurPlugin } from "../../../topology/conf-file.ts";
import { LOOPBACK } from "../../../topology/install.ts";
import { readConfigs } from "../../read.ts";
import { type DoctorContext, Unseen } from "./context.ts";
import { isInPod, placeOf } from "./place.ts";

/** Where a runtime's settings are, and what they say of the folder of network configurations. */
const RUNTIMES = [
  {
    process: "containerd",
    option: /^(?:-c|--config)$/,
    file: "/etc/containerd/config.toml",
    key: /^\s*conf_dir\s*=\s*["']([^"']+)["']/m,
    off: /^\s*disabled_plugins\s*=\s*\[[^\]]*["'](?:io\.containerd\.grpc\.v1\.)?cri["']/m,
  },
  {
    process: "crio",
    option: /^(?:-c|--config)$/,
    file: "/etc/crio/crio.conf",
    key: /^\s*network_dir\s*=\s*["']([^"']+)["']/m,
    off: null,
  },
] as const;
const DEFAULT_CONF_DIR = "/etc/cni/net.d";
/** The inode of a folder is another one for the kernel itself than for stat(2) there. */
const OWN_INODES = /^(overlay|fuse\.)/;

/** The folders of plugins and configurations, and whether the runtime looks at them. */
export function collectRuntime(context: DoctorContext): Runtime {
  const { settings, agent } = context;
  const confDir = look(context, settings.confDir);
  const isGuest = settings.root !== "" || isInPod();
  return {
    binDir: describe(settings.binDir, look(context, settings.binDir), isGuest),
    confDir: describe(settings.confDir, confDir, isGuest),
    isInstalled: agent !== null || hasOwnConfig(context),
    unseen: isRoot() ? null : "run as root",
    programs: [OWN_TYPE, LOOPBACK].map((name) => observeProgram(context, name)),
    runtimes: readRuntimes(context, confDir),
  };
}

function look(context: DoctorContext, path: string): ObservedFolder | null {
  try {
    return observeFolder(placeOf(context, path));
  } catch (error) {
    throw new Unseen(`${path} can't be looked at: ${messageOf(error)}`);
  }
}

/** `isGuest`: we have mounts of our own, which may be read-only where the node's are not. */
function describe(path: string, found: ObservedFolder | null, isGuest: boolean): Runtime["binDir"] {
  if (found === null) return { path, state: "missing", inode: "0", fault: null, mount: null };
  const { isFolder, inode, mount } = found;
  const isOwnMount = isGuest && found.fault === "EROFS" && mount?.isReadOnlyFs !== true;
  const fault = isOwnMount || !isRoot() ? null : found.fault;
  const state = isFolder ? "folder" : "other";
  if (mount === null) return { path, state, inode, fault, mount };
  const { device, point, options, fsType } = mount;
  return { path, state, inode, fault, mount: { device, point, options: [...options], fsType } };
}

function hasOwnConfig(context: DoctorContext): boolean {
  const { host, settings } = context;
  try {
    return readConfigs(placeOf(context, settings.confDir), host).some(({ text }) => namesOurPlugin(text));
  } catch {
    return false;
  }
}

function observeProgram(context: DoctorContext, name: string): Runtime["programs"][number] {
  const { host, settings } = context;
  const path = `${placeOf(context, settings.binDir)}/${name}`;
  const nothing = { name, bytes: 0, mode: 0 };
  const found = host.observeFile(path);
  if (found === null) return { ...nothing, state: "missing" };
  if (found.kind === "file") return { name, state: "file", bytes: found.bytes, mode: found.mode };
  if (found.kind !== "link") return { ...nothing, state: "other" };
  const end = host.isFile(path);
  // What a link leads to was installed with its mode by whoever made the link.
  return end ? { name, state: "file", bytes: 1, mode: 0o755 } : { ...nothing, state: "broken link" };
}

function readRuntimes(context: DoctorContext, confDir: ObservedFolder | null): Runtime["runtimes"] {
  return observeProcesses().flatMap(({ pid, name }) => {
    const known = RUNTIMES.find(({ process }) => process === name);
    if (known === undefined || isOfOtherNode(context, pid)) return [];
    const words = commandLineOf(pid);
    const { configFile, dir } = readSettings(context, known, words);
    const watches = observeWatches(pid);
    const isOurs = dir === context.settings.confDir;
    return [
      {
        name,
        pid,
        configFile,
        confDir: dir,
        isWatching: watches === null || !isOurs ? null : isWatched(watches, confDir),
        watches: (watches ?? []).map(({ inode, device }) => `inode ${inode} of ${device}`),
      },
    ];
  });
}

/** A node in a container of this machine (kind) has its own runtime, in a network namespace of its own. */
function isOfOtherNode({ host }: DoctorContext, pid: number): boolean {
  const [own, other] = ["self", pid].map((process) => host.namespaceId(`/proc/${process}/ns/net`));
  return own !== null && other !== null && own !== other;
}

function readSettings(
  context: DoctorContext,
  { option, file, key, off }: (typeof RUNTIMES)[number],
  words: readonly string[],
): { readonly configFile: string | null; readonly dir: string | null } {
  const at = words.findIndex((word) => option.test(word));
  const joined = words.find((word) => word.startsWith("--config="))?.slice("--config=".length);
  const path = joined ?? (at < 0 ? file : (words[at + 1] ?? file));
  const text = readAny(context, path);
  if (text === null) return { configFile: null, dir: DEFAULT_CONF_DIR };
  if (off?.test(text) === true) return { configFile: path, dir: null };
  return { configFile: path, dir: key.exec(text)?.[1]?.replace(/\/+$/, "") ?? DEFAULT_CONF_DIR };
}

/** As the runtime names it: below the root folder, or here. */
function readAny({ host, settings }: DoctorContext, path: string): string | null {
  for (const root of new Set([settings.root, ""])) {
    try {
      const text = host.readFile(`${root}${path}`);
      if (text !== null) return text;
    } catch {
      // Then its default is as good a guess as any.
    }
  }
  return null;
}

/** Null: inodes say nothing there. A folder that is gone is watched by nobody. */
function isWatched(watches: readonly InotifyWatch[], folder: ObservedFolder | null): boolean | null {
  if (folder === null) return false;
  if (folder.mount === null) return null;
  const { inode, mount } = folder;
  const isSeen = watches.some((watch) => watch.inode === inode && watch.device === mount.device);
  return isSeen || !OWN_INODES.test(mount.fsType) ? isSeen : null;
}
