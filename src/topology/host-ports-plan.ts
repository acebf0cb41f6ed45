import { HOST, type IptablesVariant, type Plan } from "../plan/step.ts";
import {
  type ChainOfRules,
  DNAT_PREFIX,
  HOST_PORT_CHAIN,
  HOST_PORT_SNAT_CHAIN,
  type HostPortChains,
  LOCALNET_CHAIN,
} from "./host-ports.ts";
import { deletions, leadsTo } from "./node-rules-plan.ts";

/** What leads to a chain of ours, and where it stands. */
export interface HostPortJump {
  readonly table: "nat" | "raw";
  readonly base: "PREROUTING" | "OUTPUT" | "POSTROUTING";
  readonly chain: string;
  /** As `iptables -S` prints it. */
  readonly rule: string;
  /** In front, or behind all that is there. */
  readonly isFirst: boolean;
}

/**
 * Behind kube-proxy's (CVE-2019-9946), and only for what is sent to an address of the node (CVE-2025-67499). The
 * masquerade comes first: what carries the mark must not be let go by somebody's RETURN or ACCEPT before.
 */
export const HOST_PORT_JUMPS: readonly HostPortJump[] = [
  ...(["PREROUTING", "OUTPUT"] as const).map(
    (base): HostPortJump => ({
      table: "nat",
      base,
      chain: HOST_PORT_CHAIN,
      rule: `-A ${base} -m addrtype --dst-type LOCAL -j ${HOST_PORT_CHAIN}`,
      isFirst: false,
    }),
  ),
  {
    table: "nat",
    base: "POSTROUTING",
    chain: HOST_PORT_SNAT_CHAIN,
    rule: `-A POSTROUTING -j ${HOST_PORT_SNAT_CHAIN}`,
    isFirst: true,
  },
  {
    table: "raw",
    base: "PREROUTING",
    chain: LOCALNET_CHAIN,
    rule: `-A PREROUTING -j ${LOCALNET_CHAIN}`,
    isFirst: true,
  },
];

/** What one family's tables have of ours. A table that is not in it was not looked at, and is left alone. */
export interface ObservedHostPorts {
  readonly tables: readonly ("nat" | "raw")[];
  /** Rules as `iptables -S` prints them, by chain; one that is not there has no entry. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** The rules of the built-in chains, by table and chain: `nat PREROUTING`. */
  readonly bases: ReadonlyMap<string, readonly string[]>;
}

/** How to come from the observed chains to the desired ones. */
export interface HostPortsPlan {
  readonly plan: Plan;
  /** What was not as desired, for a log: chains, and built-in chains that lacked the jump. */
  readonly changed: readonly string[];
}

/** What the kernel has once all is as desired. */
export function settledAs(desired: HostPortChains): ObservedHostPorts {
  const all = chainsOf(desired);
  const bases = new Map<string, string[]>();
  for (const { table, base, chain, rule } of HOST_PORT_JUMPS) {
    const key = `${table} ${base}`;
    const isWanted = all.some((it) => it.chain === chain);
    bases.set(key, [...(bases.get(key) ?? []), ...(isWanted ? [rule] : [])]);
  }
  return { tables: ["nat", "raw"], chains: new Map(all.map(({ chain, rules }) => [chain, rules])), bases };
}

function chainsOf({ dispatch, snat, groups, localnet }: HostPortChains): ChainOfRules[] {
  return [...groups, dispatch, snat, localnet].filter((chain) => chain !== null);
}

/** The chains of groups that the dispatching chain leads to, by its rules. */
export function groupsIn(rules: readonly string[]): string[] {
  return rules.flatMap((rule) => {
    const target = / -j (\S+)$/.exec(rule)?.[1] ?? "";
    return target.startsWith(DNAT_PREFIX) ? [target] : [];
  });
}

/**
 * Plans one family in one transaction a table. Of the ports themselves only what differs is touched: nf_tables waits
 * some 20 ms for whoever deletes a rule, and one for whoever appends one.
 */
export function planHostPorts(
  desired: HostPortChains,
  observed: ObservedHostPorts,
  variant: IptablesVariant | undefined,
): HostPortsPlan {
  const parts = observed.tables.map((table) => planTable(table, desired, observed));
  const lines = parts.flatMap((part) => part.lines);
  const changed = parts.flatMap((part) => part.changed);
  if (lines.length === 0) return { plan: [], changed: [] };
  const why = `host ports of pods, IPv${desired.family}`;
  const { family } = desired;
  return {
    plan: [
      { op: "rules.restore", netns: HOST, family, lines, why, isAtomic: true, ...(variant && { variant }) },
    ],
    changed,
  };
}

interface Part {
  readonly lines: readonly string[];
  readonly changed: readonly string[];
}

function planTable(table: "nat" | "raw", desired: HostPortChains, observed: ObservedHostPorts): Part {
  const isHere = (chain: string) => (table === "raw") === (chain === LOCALNET_CHAIN);
  const wanted = chainsOf(desired).filter(({ chain }) => isHere(chain));
  const made: string[] = [];
  const changed: string[] = [];
  for (const chain of wanted) {
    const lines = repair(chain, observed.chains.get(chain.chain) ?? null, isTold(chain, desired, observed));
    if (lines.length > 0) changed.push(chain.chain);
    made.push(...lines);
  }
  const jumps = HOST_PORT_JUMPS.filter((jump) => jump.table === table);
  for (const jump of jumps) {
    const isWanted = wanted.some(({ chain }) => chain === jump.chain);
    const lines = placeJump(jump, observed.bases.get(`${table} ${jump.base}`) ?? [], isWanted);
    if (lines.length > 0) changed.push(jump.base);
    made.push(...lines);
  }
  const dead = [...observed.chains.keys()].filter(
    (chain) => isHere(chain) && !wanted.some((it) => it.chain === chain),
  );
  // Emptied before any is removed: one may lead to another.
  const removed = [...dead.map((chain) => `:${chain} - [0:0]`), ...dead.map((chain) => `-X ${chain}`)];
  changed.push(...dead);
  const lines = [...made, ...removed];
  return { changed, lines: lines.length === 0 ? [] : [`*${table}`, ...lines, "COMMIT"] };
}

/** Whether what leads to a chain is as it was when its rules were as they should be: there is a digest of them in it. */
function isTold({ chain }: ChainOfRules, desired: HostPortChains, observed: ObservedHostPorts): boolean {
  const wanted = desired.dispatch?.rules.find(leadsTo(chain));
  return wanted !== undefined && observed.chains.get(HOST_PORT_CHAIN)?.includes(wanted) === true;
}

function repair(
  { chain, rules, isUnordered, isReworded }: ChainOfRules,
  found: readonly string[] | null,
  isDigestSame: boolean,
): string[] {
  const whole = [`:${chain} - [0:0]`, ...rules];
  if (found === null) return whole;
  if (isReworded) return isDigestSame && found.length === rules.length ? [] : whole;
  if (!isUnordered) {
    const isSame = found.length === rules.length && rules.every((rule, index) => found[index] === rule);
    return isSame ? [] : whole;
  }
  const extra = without(found, rules);
  const missing = without(rules, found);
  return [...deletions(extra), ...missing];
}

/** What of `all` is not in `others`, each as often as it is there more. */
function without(all: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const rule of others) left.set(rule, (left.get(rule) ?? 0) + 1);
  return all.filter((rule) => {
    const count = left.get(rule) ?? 0;
    if (count > 0) left.set(rule, count - 1);
    return count === 0;
  });
}

function placeJump(
  { chain, base, rule, isFirst }: HostPortJump,
  found: readonly string[],
  isWanted: boolean,
): string[] {
  const jumps = found.filter(leadsTo(chain));
  if (isWanted && jumps.length === 1 && jumps[0] === rule) return [];
  if (!isWanted) return deletions(jumps);
  const words = rule.slice(`-A ${base} `.length);
  return [...deletions(jumps), isFirst ? `-I ${base} 1 ${words}` : rule];
}
