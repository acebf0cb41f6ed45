import { DEFAULT_BRIDGE } from "../../../cni/config.ts";
import type { Firewall } from "../../../doctor/sections/firewall.ts";
import { messageOf } from "../../../host/errors.ts";
import { chooseVariant, isFamilyThere, isTableThere, observeChain } from "../../../host/iptables.ts";
import { FAMILIES } from "../../../net/address.ts";
import { mergePrefixes } from "../../../net/merge.ts";
import { formatPrefix, networkOf, type Prefix, parsePrefix } from "../../../net/prefix.ts";
import { iptablesProgram } from "../../../plan/format.ts";
import type { ObservedAddress } from "../../../plan/state.ts";
import { findForwardBlock } from "../../../topology/forward-blocks.ts";
import { targetOf } from "../../../topology/iptables-rules.ts";
import { FORWARD_CHAIN } from "../../../topology/node-rules.ts";
import { observeForeignTables } from "../../agent/forward-blocks.ts";
import { type DoctorContext, readNumber } from "./context.ts";
import { iptablesVariants, nftTables } from "./rules.ts";

type Chain = Firewall["iptables"][number]["chains"][number];

/** Firewalls have some twenty; each costs a spawn. */
const MOST_CHAINS = 48;
/** They refuse Services without endpoints, and accept nothing; with thousands of Services they are large. */
const PROXY_CHAINS = /^KUBE-(SERVICES|EXTERNAL-SERVICES|NODEPORTS|PROXY-FIREWALL)$/;
const TIMEOUT_MS = 15_000;

/** What stands between pods' packets and their way through this node. */
export async function collectFirewall(context: DoctorContext): Promise<Firewall> {
  const { host, agent } = context;
  const bridge = host.link(DEFAULT_BRIDGE);
  const known = trafficOf(context);
  const own = bridge === null ? [] : networksOf(host.addresses(bridge.index));
  const hasNodes = known.podCidrs.length > 0;
  const { podCidrs, clusterCidrs } = hasNodes ? known : { podCidrs: own, clusterCidrs: EVERYTHING };
  const unseen: string[] = [];
  const iptables = await attempt("the rules of iptables", unseen, () => readIptables(context, unseen));
  const spared = (iptables ?? [])
    .filter(({ program }) => !program.includes("legacy"))
    .map(({ family }) => family);
  const tables = await attempt("the tables of nftables", unseen, async () => {
    if (host.findProgram("nft") === null) throw new Error("no nft on the PATH");
    return observeForeignTables(host, spared);
  });
  const traffic = { podCidrs, clusterCidrs, bridge: DEFAULT_BRIDGE };
  return {
    isInUse: agent !== null || bridge !== null,
    bridge: DEFAULT_BRIDGE,
    podCidrs: podCidrs.map(formatPrefix),
    clusterCidrs: clusterCidrs.map(formatPrefix),
    hasNodes,
    iptables: iptables ?? [],
    tables: tables === null ? null : tables.map(({ family, name }) => `${family} ${name}`),
    blocks: (tables ?? []).flatMap((table) => {
      const block = findForwardBlock(table, traffic);
      if (block === null) return [];
      const ways = block.ways.map(({ family, direction }) => ({ family, direction }));
      return [{ ...block, ways, table: `${table.family} ${table.name}` }];
    }),
    bridgeNf: FAMILIES.filter((family) => isFamilyThere(host, family)).map((family) => ({
      family,
      value: readNumber(context, `/proc/sys/net/bridge/bridge-nf-call-${iptablesProgram(family)}`),
    })),
    hasProxy: (await attempt("kube-proxy's rules", [], () => seesProxy(context))) ?? false,
    unseen,
  };
}

const EVERYTHING = ["0.0.0.0/0", "::/0"].flatMap((text) => parsePrefix(text) ?? []);

function networksOf(addresses: readonly ObservedAddress[]): Prefix[] {
  return addresses.filter(({ linkLocal }) => !linkLocal).map(({ prefix }) => networkOf(prefix));
}

/** Null: it failed, and `unseen` says what and why. */
async function attempt<T>(what: string, unseen: string[], look: () => Promise<T>): Promise<T | null> {
  try {
    return await look();
  } catch (error) {
    unseen.push(`${what}: ${messageOf(error)}`);
    return null;
  }
}

/** From the agent, else from the Nodes; empty where neither knows. */
function trafficOf({ agent, cluster, node }: DoctorContext) {
  const parsed = (texts: readonly string[] = []) =>
    texts.flatMap((text): Prefix[] => {
      const prefix = parsePrefix(text);
      return prefix === null ? [] : [networkOf(prefix)];
    });
  const nodes = cluster.snapshot?.nodes ?? [];
  const own = parsed(agent?.podCidrs);
  const podCidrs = own.length > 0 ? own : (nodes.find(({ name }) => name === node)?.podCidrs ?? []);
  const all = [...parsed(agent?.clusterCidrs), ...nodes.flatMap((each) => each.podCidrs), ...podCidrs];
  return { podCidrs, clusterCidrs: mergePrefixes(all) };
}

async function readIptables(context: DoctorContext, unseen: string[]): Promise<Firewall["iptables"]> {
  const { host, agent } = context;
  const chosen = agent?.rules.variant ?? (await chooseVariant(host)).variant;
  const found: Firewall["iptables"] = [];
  const variants = await iptablesVariants(host);
  if (variants.length === 0) throw new Error("no iptables on the PATH");
  for (const { variant, kind } of variants) {
    for (const family of FAMILIES) {
      if (!isFamilyThere(host, family) || !isTableThere(host, family, kind, "filter")) continue;
      const program = iptablesProgram(family, variant);
      const isOurs = variant === undefined || variant === chosen;
      const chains = await attempt(`FORWARD of ${program}`, unseen, () => readChains(context, program));
      if (chains !== null) found.push({ family, program, isOurs, chains });
    }
  }
  return found;
}

/** FORWARD first; then those that its rules lead to, as far as packets come before our own chain. */
async function readChains({ host }: DoctorContext, program: string): Promise<Chain[]> {
  const read = async (name: string): Promise<Chain | null> => {
    const argv = [program, "-w", "10", "-S", name];
    const { exitCode, stdout, stderr } = await host.spawn({ argv, timeoutMs: TIMEOUT_MS });
    if (exitCode !== 0 && name !== "FORWARD") return null;
    if (exitCode !== 0) throw new Error(stderr.trim().split("\n")[0] ?? "");
    const lines = stdout.split("\n");
    const policy = lines.find((line) => line.startsWith(`-P ${name} `))?.split(" ")[2] ?? null;
    return { name, policy, rules: lines.filter((line) => line.startsWith(`-A ${name} `)) };
  };
  const chains: Chain[] = [];
  const wanted = ["FORWARD"];
  for (const name of wanted) {
    if (chains.length >= MOST_CHAINS) break;
    const chain = PROXY_CHAINS.test(name) ? { name, policy: null, rules: [] } : await read(name);
    if (chain === null) continue;
    chains.push(chain);
    const jump = chain.rules.findIndex((rule) => targetOf(rule) === FORWARD_CHAIN);
    const met = jump < 0 ? chain.rules : chain.rules.slice(0, jump + 1);
    for (const target of met.map(targetOf)) {
      if (target !== null && !BUILT_IN.test(target) && !wanted.includes(target)) wanted.push(target);
    }
  }
  return chains;
}

const BUILT_IN = /^(ACCEPT|DROP|REJECT|RETURN|LOG|NFLOG|MARK|CONNMARK|TCPMSS|NFQUEUE|QUEUE)$/;

/** By a chain that it always has, a short one (iptables and IPVS), or its table of nftables. */
async function seesProxy(context: DoctorContext): Promise<boolean> {
  const { host } = context;
  for (const { variant, kind } of await iptablesVariants(host).catch(() => [])) {
    for (const family of FAMILIES) {
      if (!isFamilyThere(host, family) || !isTableThere(host, family, kind, "nat")) continue;
      const rules = await observeChain(host, family, variant, "nat", "KUBE-POSTROUTING").catch(() => null);
      if (rules !== null) return true;
    }
  }
  return (await nftTables(context))?.names.some((name) => /^(ip|ip6) kube-proxy$/.test(name)) ?? false;
}
