import { quoteWord } from "../../plan/format.ts";
import { describeRouteOwner } from "../../plan/route-owner.ts";
import { CONFLIST_FILE } from "../../topology/conflist.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import { OTHER_NETWORKS, type OtherNetwork } from "../other-networks.ts";
import type { CniConfigs } from "../sections/cni-configs.ts";

/** More names of one kind are no help. */
const MOST_NAMES = 4;

/** A7: a runtime takes one configuration, the first by name; what another plugin left goes on to route and to filter. */
export const cniConfigsCheck = check("A7", "network configurations", ["cniConfigs"], ({ cniConfigs }) => {
  const found = [...judgeBroken(cniConfigs), ...judgeOrder(cniConfigs)];
  const left = OTHER_NETWORKS.flatMap((other) => judgeLeftovers(other, cniConfigs));
  const skipped = cniConfigs.unseen.map((why) => skip(`network configurations: not looked at: ${why}`));
  return [
    ...(found.length > 0 ? found : [describeChoice(cniConfigs)]),
    ...(left.length > 0 ? left : [pass("nothing is left of other network plugins")]),
    ...skipped,
  ];
});

const fileLines = ({ files, confDir }: CniConfigs) =>
  files.map(({ name, kind, fault }) => `${confDir}/${name}: ${kind ?? fault ?? ""}`);

/** Read by libcni up to the one that is taken: containerd stops at an error (go-cni's loadFromConfDir), CRI-O goes on. */
function judgeBroken(section: CniConfigs): Verdict[] {
  const { files, confDir } = section;
  const first = files.findIndex(({ kind }) => kind !== null);
  const met = first < 0 ? files : files.slice(0, first);
  return met.map(({ name, fault }) =>
    fail({
      message: `${confDir}/${name} ${fault}`,
      evidence: fileLines(section),
      cause:
        "the runtime reads it first: containerd then takes no configuration at all, and the node is not ready",
      fix:
        name === CONFLIST_FILE
          ? [`rm ${quoteWord(`${confDir}/${name}`)}`, "# the agent writes it again"]
          : [`mv ${quoteWord(`${confDir}/${name}`)} ${quoteWord(`${confDir}/${name}.disabled`)}`],
    }),
  );
}

function judgeOrder(section: CniConfigs): Verdict[] {
  const { files, before, confDir } = section;
  const foreign = before.filter((name) => files.some((file) => file.name === name && file.kind !== null));
  const [first] = foreign;
  if (first === undefined) return [];
  const hasOurs = files.some(({ isOurs }) => isOurs);
  const kind = files.find(({ name }) => name === first)?.kind ?? "";
  const judge = hasOurs ? fail : warn;
  return [
    judge({
      message: `the runtime ${hasOurs ? "takes" : "will take"} ${first} (${kind}) in place of ${CONFLIST_FILE}`,
      evidence: fileLines(section),
      cause:
        "of all configurations a runtime takes the first in the order of names; pods get nothing of minicni's",
      fix: foreign.map(
        (name) => `mv ${quoteWord(`${confDir}/${name}`)} ${quoteWord(`${confDir}/${name}.disabled`)}`,
      ),
    }),
  ];
}

function describeChoice(section: CniConfigs): Verdict {
  const { files, confDir } = section;
  const taken = files.find(({ kind }) => kind !== null);
  if (taken === undefined) return pass(`no network configuration in ${confDir} yet`);
  const isAlone = files.length === 1;
  const others = isAlone ? "" : `, the first of ${files.length}`;
  if (taken.isOurs)
    return pass(`the runtime takes ${taken.name} (${taken.kind})${others}`, fileLines(section));
  return pass(
    `the runtime takes ${taken.name} (${taken.kind})${others}, until minicni is installed: ${CONFLIST_FILE} comes before it`,
    fileLines(section),
  );
}

function judgeLeftovers(other: OtherNetwork, section: CniConfigs): Verdict[] {
  // The kernel makes tunl0 with the module ipip; an address is somebody's.
  const links = section.links.filter(
    ({ name, addresses }) => other.links.test(name) && (name !== "tunl0" || addresses.length > 0),
  );
  const chains = section.chains.filter(({ chain }) => other.chains?.test(chain));
  const tables = section.tables.filter((name) => other.tables?.test(name));
  const routes = section.routes.filter(({ protocol }) => other.protocols.includes(protocol));
  const program = section.programs.find((name) => other.programs.test(name));
  if (links.length + chains.length + tables.length + routes.length === 0) return [];
  const isRunning = program !== undefined;
  const areRulesAlone = links.length + routes.length === 0;
  if (isChained(other, section) || (other.isPolicyEngine && areRulesAlone && isRunning)) return [];
  if (other.isPolicyEngine && areRulesAlone && !section.seesHost)
    return [
      skip(
        `${other.name} has rules here (${[...chains.map(({ chain }) => chain), ...tables].slice(0, MOST_NAMES).join(", ")}): whether it still runs, to enforce NetworkPolicy, can't be seen from here (in a pod: hostPID)`,
      ),
    ];
  const parts = [
    count(
      links.map(({ name }) => name),
      "link",
    ),
    count([...new Set(chains.map(({ chain }) => chain))], "chain"),
    count(tables, "table"),
    count(
      routes.map(({ dst }) => dst),
      "route",
    ),
  ].filter((part) => part !== "");
  const message = isRunning
    ? `${other.name} runs here as well (process ${program}): ${parts.join("; ")}`
    : `left of ${other.name}: ${parts.join("; ")}`;
  const evidence = [
    ...links.map(({ name, addresses }) => `link ${[name, ...addresses].join(" ")}`),
    ...chains.map(({ program: by, table, chain }) => `${by} -t ${table}: chain ${chain}`),
    ...tables.map((name) => `nft: table ${name}`),
    ...routes.map(
      ({ dst, protocol, dev }) =>
        `route ${dst}${dev === "" ? "" : ` dev ${dev}`} proto ${protocol} (${describeRouteOwner(protocol, dev)})`,
    ),
  ];
  return [
    warn({
      message,
      evidence,
      cause: `${
        isRunning
          ? "two network plugins route the same pods"
          : "deleting a network plugin leaves what it made in the kernel, until a reboot"
      }: its routes and rules go on to take packets of pods`,
      fix: [
        ...(isRunning ? [`# first delete ${other.name} from the cluster, as it says itself`] : []),
        ...removals(links, chains, tables, routes, other),
      ],
    }),
  ];
}

/** Whether the list that is taken runs its plugin behind ours. */
function isChained({ chained }: OtherNetwork, { files }: CniConfigs): boolean {
  const taken = files.find(({ kind }) => kind !== null);
  return chained !== null && taken?.isOurs === true && taken.kind?.split(/[ ,]+/).includes(chained) === true;
}

function count(names: readonly string[], word: string): string {
  if (names.length === 0) return "";
  const more = names.length > MOST_NAMES ? `, … (${names.length})` : "";
  return `${word}${names.length === 1 ? "" : "s"} ${names.slice(0, MOST_NAMES).join(", ")}${more}`;
}

function removals(
  links: CniConfigs["links"],
  chains: CniConfigs["chains"],
  tables: CniConfigs["tables"],
  routes: CniConfigs["routes"],
  { chainWord, isPolicyEngine, name }: OtherNetwork,
): string[] {
  const devs = links.map((link) => link.name).filter((dev) => dev !== "tunl0");
  const pods = devs.filter((dev) => /^(cali|lxc)[0-9a-f]+$/.test(dev));
  const [pod = ""] = pods;
  const prefix = pod.startsWith("lxc") ? "lxc" : "cali";
  const isMany = pods.length > MOST_NAMES;
  return [
    ...new Set(routes.map(({ family, protocol }) => `ip -${family} route flush proto ${protocol}`)),
    ...devs.filter((dev) => !isMany || !pods.includes(dev)).map((dev) => `ip link delete ${dev}`),
    ...(isMany
      ? [`for link in $(ls /sys/class/net | grep '^${prefix}[0-9a-f]'); do ip link delete "$link"; done`]
      : []),
    ...(links.length > devs.length ? ["ip address flush dev tunl0", "ip link set tunl0 down"] : []),
    ...(chains.length > 0 && isPolicyEngine
      ? [`# keep the chains where ${name} is to enforce NetworkPolicy`]
      : []),
    ...new Set(chains.map(({ program }) => `${program}-save | grep -v '${chainWord}' | ${program}-restore`)),
    ...tables.map((table) => `nft delete table ${table}`),
  ];
}
