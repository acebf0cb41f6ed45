import type { Setting } from "../../../doctor/sysctl-settings.ts";
import { messageOf } from "../../../host/errors.ts";
import { type DoctorContext, readHostFile, requireHostFiles } from "./context.ts";

/** The first folder hides files of the same name in those behind it (sysctl.d(5)). */
const FOLDERS = [
  "/etc/sysctl.d",
  "/run/sysctl.d",
  "/usr/local/lib/sysctl.d",
  "/usr/lib/sysctl.d",
  "/lib/sysctl.d",
];
/** Of the administrator. To systemd it is a file as others, where a link (Debian's 99-sysctl.conf) leads to it, else none. */
const OLD = "/etc/sysctl.conf";
const SYSTEMD = ["/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"];
const MOST_LINKS = 8;

/**
 * The lines for keys that `isWanted` says yes to (as in /proc/sys, with slashes), in the order in which they are read at
 * boot. Throws Unseen.
 */
export function readSettings(context: DoctorContext, isWanted: (key: string) => boolean): Setting[] {
  requireHostFiles(context);
  const { host, settings } = context;
  const files = new Map<string, string | null>();
  for (const folder of FOLDERS) {
    for (const name of host.listFolder(`${settings.root}${folder}`)) {
      if (name.endsWith(".conf") && !files.has(name)) files.set(name, resolve(context, `${folder}/${name}`));
    }
  }
  const ordered = [...files].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, path]) => path ?? []);
  // procps, on a machine without systemd, reads it behind all others (sysctl(8), --system).
  if (!ordered.includes(OLD) && !hasSystemd(context)) ordered.push(OLD);
  return ordered
    .flatMap((path) => parse(readHostFile(context, path) ?? "", path))
    .filter(({ key }) => isWanted(key));
}

/** As {@link readSettings}, with why nothing could be seen in place of an exception. */
export function trySettings(
  context: DoctorContext,
  isWanted: (key: string) => boolean,
): { readonly settings: Setting[]; readonly settingsFault: string | null } {
  try {
    return { settings: readSettings(context, isWanted), settingsFault: null };
  } catch (error) {
    return { settings: [], settingsFault: messageOf(error) };
  }
}

/** Where links lead: below the root folder, as the host itself would follow them; null: in a circle. */
function resolve({ host, settings }: DoctorContext, path: string): string | null {
  let at = path;
  for (let hops = 0; hops < MOST_LINKS; hops++) {
    const found = host.observeFile(`${settings.root}${at}`);
    if (found?.kind !== "link") return at;
    at = normal(found.target.startsWith("/") ? found.target : `${at}/../${found.target}`);
  }
  return null;
}

function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function hasSystemd({ host, settings }: DoctorContext): boolean {
  return SYSTEMD.some((path) => host.isFile(`${settings.root}${path}`));
}

function parse(text: string, path: string): Setting[] {
  return text.split("\n").flatMap((line, index): Setting[] => {
    // A hyphen before a name: failures are nothing to tell of; with no value the name is kept out of patterns.
    const [, hyphen = "", name = "", value] =
      /^\s*(-?)([^#;=\s][^=]*?)\s*(?:=\s*(.*?)\s*)?$/.exec(line) ?? [];
    if (name === "" || (value === undefined && hyphen === "")) return [];
    return [{ key: withSlashes(name), value: value ?? null, place: `${path}:${index + 1}` }];
  });
}

/** With a slash as first separator dots are part of names, else the two change places (sysctl.d(5)): `net.ipv4.conf.eth0/1.x`. */
function withSlashes(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== ".") return name.replace(/^\/proc\/sys\//, "");
  return name.replace(/[./]/g, (mark) => (mark === "." ? "/" : "."));
}
