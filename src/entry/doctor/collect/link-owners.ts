import { DEFAULT_BRIDGE } from "../../../cni/config.ts";
import { parseIni } from "../../../doctor/ini.ts";
import type { LinkOwners } from "../../../doctor/sections/link-owners.ts";
import { observeProcesses } from "../../../host/processes.ts";
import { HOST_VETH_PREFIX, isHostVethName } from "../../../net/ifname.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import { type DoctorContext, readHostFile } from "./context.ts";

/** Of systemd, the first one first (systemd.network(5)). */
const SYSTEMD = [
  "/etc/systemd",
  "/run/systemd",
  "/usr/local/lib/systemd",
  "/usr/lib/systemd",
  "/lib/systemd",
];
/** Of NetworkManager: its main file counts more than the first two, and less than the last (NetworkManager.conf(5)). */
const NM_EARLY = ["/run/NetworkManager", "/usr/lib/NetworkManager"];
const NM = "/etc/NetworkManager";
/** Stands for all host-side veths where there is none yet. */
const SAMPLE_VETH = `${HOST_VETH_PREFIX}0123456789a`;

/** Who else on this node sets up links, and what it was told. */
export function collectLinkOwners(context: DoctorContext): LinkOwners {
  const { host, agent } = context;
  const peers = agent?.peers ?? [];
  const names = new Map(host.links().map(({ index, name }) => [index, name]));
  const indexes = new Map([...names].map(([index, name]) => [name, index]));
  const veth = [...indexes.keys()].find(isHostVethName) ?? SAMPLE_VETH;
  const ours = [
    { name: DEFAULT_BRIDGE, kind: "bridge" },
    ...Object.values(TUNNEL_NAMES).map((name) => ({ name, kind: "vxlan" })),
    { name: veth, kind: "veth" },
  ];
  return {
    links: ours.map((link) => ({ ...link, index: indexes.get(link.name) ?? null })),
    hasDirectRoutes: peers.length === 0 || peers.some(({ path }) => path === "direct"),
    networkd: {
      runs: runningBy(context, "systemd-networkd", "/run/systemd/netif/state"),
      foreign: readForeign(context),
      files: readNetworkFiles(context),
      managed: readManaged(context, names),
    },
    networkManager: {
      runs: runningBy(context, "NetworkManager", "/run/NetworkManager/devices"),
      settings: readNetworkManager(context),
    },
  };
}

/** Of a process, its name is cut after 15 bytes; a file or folder stays when the program ends, and counts where none can be seen. */
function runningBy(context: DoctorContext, program: string, file: string): string | null {
  const processes = observeProcesses();
  const found = processes.find(({ name }) => name === program.slice(0, 15));
  if (found !== undefined) return `process ${found.pid} (${found.name})`;
  const seesAll =
    context.settings.root === "" && processes.some(({ pid, name }) => pid === 1 && name === "systemd");
  return !seesAll && context.host.observeFile(`${context.settings.root}${file}`) !== null ? file : null;
}

interface HostFile {
  readonly file: string;
  readonly text: string;
}

/** Files of one kind in some folders, the first folder first, sorted by name; one name hides the same in later folders. */
function readFolders(context: DoctorContext, folders: readonly string[], pattern: RegExp): HostFile[] {
  const found = new Map<string, HostFile>();
  for (const folder of folders) {
    for (const name of context.host.listFolder(`${context.settings.root}${folder}`)) {
      const file = `${folder}/${name}`;
      // A link to /dev/null is no regular file: it hides, and says nothing.
      if (pattern.test(name) && !found.has(name))
        found.set(name, { file, text: readHostFile(context, file) ?? "" });
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
}

function settingsOf({ file, text }: HostFile) {
  return parseIni(text).map((setting) => ({ file, ...setting }));
}

function readForeign(context: DoctorContext): LinkOwners["networkd"]["foreign"] {
  const main = SYSTEMD.map((folder) => `${folder}/networkd.conf`).flatMap((file): HostFile[] => {
    const text = readHostFile(context, file);
    return text === null ? [] : [{ file, text }];
  });
  const dropIns = readFolders(
    context,
    SYSTEMD.map((folder) => `${folder}/networkd.conf.d`),
    /\.conf$/,
  );
  return [...main.slice(0, 1), ...dropIns]
    .flatMap(settingsOf)
    .filter(({ section, key }) => section === "Network" && key.startsWith("ManageForeign"));
}

function readNetworkFiles(context: DoctorContext): LinkOwners["networkd"]["files"] {
  const folders = SYSTEMD.map((folder) => `${folder}/network`);
  return readFolders(context, folders, /\.network$/).map(({ file, text }) => {
    const name = file.slice(file.lastIndexOf("/") + 1);
    const dropIns = readFolders(
      context,
      folders.map((folder) => `${folder}/${name}.d`),
      /\.conf$/,
    );
    return { file, text: onlyMatch([text, ...dropIns.map((dropIn) => dropIn.text)].join("\n")) };
  });
}

function onlyMatch(text: string): string {
  const kept = parseIni(text).filter(({ section }) => section === "Match" || section === "Link");
  return kept.map(({ section, key, value }) => `[${section}]\n${key}=${value}\n`).join("");
}

/** What networkd says of each link (sd-network's private files: KEY=value). */
function readManaged(
  context: DoctorContext,
  names: ReadonlyMap<number, string>,
): LinkOwners["networkd"]["managed"] {
  const folder = "/run/systemd/netif/links";
  return context.host.listFolder(`${context.settings.root}${folder}`).flatMap((entry) => {
    const name = names.get(Number(entry));
    const text = readHostFile(context, `${folder}/${entry}`) ?? "";
    const file = /^NETWORK_FILE=(.+)$/m.exec(text)?.[1];
    if (name === undefined || file === undefined) return [];
    return [{ index: Number(entry), name, state: /^ADMIN_STATE=(.*)$/m.exec(text)?.[1] ?? "", file }];
  });
}

function readNetworkManager(context: DoctorContext): LinkOwners["networkManager"]["settings"] {
  const inFolder = (folder: string) => `${folder}/conf.d`;
  const late = readFolders(context, [inFolder(NM)], /\.conf$/);
  const hidden = new Set(late.map(({ file }) => file.slice(file.lastIndexOf("/"))));
  const early = readFolders(context, NM_EARLY.map(inFolder), /\.conf$/).filter(
    ({ file }) => !hidden.has(file.slice(file.lastIndexOf("/"))),
  );
  const main = `${NM}/NetworkManager.conf`;
  return [...early, { file: main, text: readHostFile(context, main) ?? "" }, ...late]
    .flatMap(settingsOf)
    .filter(
      ({ section, key }) =>
        (section === "keyfile" && key.startsWith("unmanaged-devices")) ||
        (section.startsWith("device") && (key === "match-device" || key === "managed")),
    );
}
