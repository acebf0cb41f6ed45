import { check } from "../check.ts";
import { fail, pass, type Verdict, warn } from "../finding.ts";
import { parseSwitch } from "../ini.ts";
import { isUnmanaged, leavesLinksAlone, matchesNetworkFile } from "../link-match.ts";
import type { LinkOwners } from "../sections/link-owners.ts";

/** Names of ours as patterns: for systemd, and for NetworkManager. */
const PATTERNS = ["minicni0", "minicni.vxlan*", "mcni*"];
const FOREIGN = "ManageForeignRoutes";

/** A6: who sets up a node's links takes what it did not make for a mistake, of routes and of addresses. */
export const linkOwnersCheck = check(
  "A6",
  "networkd and NetworkManager",
  ["linkOwners"],
  ({ linkOwners }) => {
    const { networkd, networkManager } = linkOwners;
    const found = [
      ...(networkd.runs === null ? [] : [...judgeRoutes(linkOwners), ...judgeLinks(linkOwners)]),
      ...(networkManager.runs === null ? [] : judgeManager(linkOwners)),
    ];
    if (found.length > 0) return found;
    const running = [
      ...(networkd.runs === null ? [] : ["systemd-networkd"]),
      ...(networkManager.runs === null ? [] : ["NetworkManager"]),
    ];
    if (running.length === 0) return [pass("neither systemd-networkd nor NetworkManager runs here")];
    return [
      pass(
        `${running.join(" and ")} ${running.length === 1 ? "leaves" : "leave"} minicni's links and routes alone`,
        [networkd.runs, networkManager.runs].filter((by) => by !== null),
      ),
    ];
  },
);

/** On links that it manages networkd removes foreign routes when it starts, is reloaded, or the link comes back. */
function judgeRoutes({
  networkd: { runs, foreign, managed },
  links,
  hasDirectRoutes,
}: LinkOwners): Verdict[] {
  const own = new Set(links.map(({ name }) => name));
  const uplinks = managed.filter(({ name, state }) => !own.has(name) && state !== "unmanaged");
  const set = foreign.findLast(({ key, value }) => key === FOREIGN && parseSwitch(value) !== null);
  if (!hasDirectRoutes || uplinks.length === 0 || (set !== undefined && parseSwitch(set.value) === false))
    return [];
  const dropIn = dropInBehind(foreign.map(({ file }) => file));
  return [
    warn({
      message: `systemd-networkd removes minicni's routes from ${uplinks.map(({ name }) => name).join(", ")} whenever it starts anew (${FOREIGN}=yes)`,
      evidence: [
        set === undefined
          ? `${FOREIGN} is not set: yes is the default`
          : `${set.file}: ${FOREIGN}=${set.value}`,
        ...uplinks.map(
          ({ index, name, state, file }) => `/run/systemd/netif/links/${index}: ${name} ${state} by ${file}`,
        ),
        `networkd runs: ${runs}`,
      ],
      cause:
        "networkd takes routes that it did not make for leftovers (kube-router#1815, cilium#18706); the agent puts them back, and until then pods of other nodes are not reached",
      fix: [
        "mkdir -p /etc/systemd/networkd.conf.d",
        `printf '[Network]\\n${FOREIGN}=no\\nManageForeignRoutingPolicyRules=no\\n' > /etc/systemd/networkd.conf.d/${dropIn}`,
        "systemctl restart systemd-networkd",
      ],
    }),
  ];
}

/** One veth stands for all pods'. */
const shown = ({ name, kind }: LinkOwners["links"][number]) => (kind === "veth" ? "mcni*" : name);

/** Drop-ins count by name alone, whatever their folder: the last one wins. */
function dropInBehind(files: readonly string[]): string {
  const last = files
    .map((file) => file.slice(file.lastIndexOf("/") + 1))
    .filter((name) => name !== "networkd.conf");
  return last.some((name) => name >= "90-minicni.conf") ? "zz-minicni.conf" : "90-minicni.conf";
}

function judgeLinks({ networkd: { files, managed, runs }, links }: LinkOwners): Verdict[] {
  const taken = links.flatMap((link) => {
    const file = files.find(({ text }) => matchesNetworkFile(text, link));
    if (file === undefined || leavesLinksAlone(file.text)) return [];
    const now = managed.find(({ index, state }) => index === link.index && state !== "unmanaged");
    return [{ link, file: file.file, now }];
  });
  const [first] = taken;
  if (first === undefined) return [];
  const isNow = taken.some(({ now }) => now !== undefined);
  const judge = isNow ? fail : warn;
  const names = taken.map(({ link }) => shown(link)).join(", ");
  return [
    judge({
      message: `systemd-networkd ${isNow ? "manages" : "will manage"} minicni's links: ${names}`,
      evidence: [
        ...taken.map(({ link, file }) => `${file} matches ${shown(link)} (${link.kind})`),
        ...taken.flatMap(({ now }) =>
          now === undefined
            ? []
            : [`/run/systemd/netif/links/${now.index}: ${now.name} ${now.state} by ${now.file}`],
        ),
        `networkd runs: ${runs}`,
      ],
      cause:
        "it removes addresses and routes that it did not set, such as the pods' gateway from minicni0 (antrea docs/os-issues.md), and asks for addresses by DHCP on pods' links",
      fix: [
        `printf '[Match]\\nName=${PATTERNS.join(" ")}\\n[Link]\\nUnmanaged=yes\\n' > /etc/systemd/network/${fileBefore(taken.map(({ file }) => file))}`,
        "networkctl reload",
      ],
    }),
  ];
}

/** The first file by name that matches is the link's. */
function fileBefore(files: readonly string[]): string {
  const names = files.map((file) => file.slice(file.lastIndexOf("/") + 1));
  return names.some((name) => name <= "00-minicni.network") ? "00-0-minicni.network" : "00-minicni.network";
}

function judgeManager({ networkManager: { runs, settings }, links }: LinkOwners): Verdict[] {
  const open = links.filter((link) => !isUnmanaged(settings, link));
  if (open.length === 0) return [];
  const specs = PATTERNS.map((pattern) => `interface-name:${pattern}`).join(";");
  return [
    warn({
      message: `NetworkManager is not told to leave minicni's links alone: ${open.map(shown).join(", ")}`,
      evidence: [
        ...(settings.length === 0
          ? ["no unmanaged-devices in /etc/NetworkManager, /run/NetworkManager, /usr/lib/NetworkManager"]
          : settings.map(({ file, section, key, value }) => `${file}: [${section}] ${key}=${value}`)),
        `NetworkManager runs: ${runs}`,
      ],
      cause: "it may take over links that it did not make, with their addresses and routes (calicoctl#256)",
      fix: [
        `printf '[keyfile]\\nunmanaged-devices+=${specs}\\n' > /etc/NetworkManager/conf.d/90-minicni.conf`,
        "systemctl reload NetworkManager",
      ],
    }),
  ];
}
