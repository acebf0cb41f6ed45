import { FAMILIES, type Family } from "../net/address.ts";
import { contains, formatPrefix, overlaps, type Prefix } from "../net/prefix.ts";
import type { NftChain, NftCondition, NftTable, NftTerm, NftValue, NftVerdict } from "../plan/ruleset.ts";

/** Which pods are to reach each other. */
export interface PodTraffic {
  /** Of this node. */
  readonly podCidrs: readonly Prefix[];
  /** Of the whole cluster. */
  readonly clusterCidrs: readonly Prefix[];
  /** The bridge that this node's pods hang on. */
  readonly bridge: string;
}

/** One way that the first packet of a connection between pods of two nodes takes through this node. */
interface Flow {
  readonly family: Family;
  readonly direction: "in" | "out";
  /** Null: one of the links to other nodes, whatever its name. */
  readonly iifname: string | null;
  readonly oifname: string | null;
  readonly saddr: readonly Prefix[];
  readonly daddr: readonly Prefix[];
}

/** More of them are no help to a reader. */
const MOST_CIDRS = 4;

/** Three-valued: null where it can't be known, or holds for a part of the packets. */
type Maybe = boolean | null;

/** Where a packet can end; `drops`: by which chain and verdict. */
interface Ends {
  readonly accepts: boolean;
  readonly drops: readonly string[];
  /** It can come to the end of the chain. */
  readonly passes: boolean;
}

/** Deeper jumps are refused by the kernel (NFT_JUMP_STACK_SIZE of include/net/netfilter/nf_tables.h). */
const DEEPEST = 16;

/**
 * Whether a foreign table of nftables cuts off what pods of different nodes send each other, with the way out: one
 * text, or null. A packet passes every base chain of the forward hook, so that our ACCEPT counts in none but our own
 * (nft(8), "accept … evaluation continues in later base chains"). Told only when a packet can end in nothing but a
 * drop, whatever a condition that is not understood says: marks, ports, limits, named sets.
 */
export function describeForwardBlock(table: NftTable, traffic: PodTraffic): string | null {
  const found = table.chains
    .filter(({ hook }) => hook === "forward")
    .flatMap((chain) => flowsOf(table, traffic).flatMap((flow) => blockOf(table, chain, flow)));
  const [first] = found;
  if (first === undefined) return null;
  const ways = DIRECTIONS.flatMap(([direction, words]) => {
    const families = new Set(
      found.flatMap(({ flow }) => (flow.direction === direction ? [flow.family] : [])),
    );
    return families.size === 0
      ? []
      : [`${words} (${[...families].map((family) => `IPv${family}`).join(", ")})`];
  });
  const where = `chain ${first.chain} of nftables table ${table.family} ${table.name}`;
  return `${where} drops ${ways.join(" and ")}, whatever other tables accept (${first.drop}): ${wayOut(table, first.chain, traffic)}`;
}

const DIRECTIONS = [
  ["out", "what pods here send to pods of other nodes"],
  ["in", "what pods of other nodes send to pods here"],
] as const;

function wayOut({ name, family }: NftTable, chain: string, { clusterCidrs, bridge }: PodTraffic): string {
  const all = clusterCidrs.map(formatPrefix);
  const cidrs = all.length > MOST_CIDRS ? ["<each pod CIDR, or the range they are from>"] : all;
  if (name === "firewalld") {
    const sources = cidrs.map((cidr) => `firewall-cmd --permanent --zone=trusted --add-source=${cidr}`);
    const rest = [
      `firewall-cmd --permanent --zone=trusted --add-interface=${bridge}`,
      "firewall-cmd --reload",
    ];
    return `\`${[...sources, ...rest].join("; ")}\``;
  }
  return `let ${chain} (\`nft -a list chain ${family} ${name} ${chain}\`) accept from and to ${cidrs.join(", ")}, or stop the program that made it`;
}

function flowsOf({ family: tableFamily }: NftTable, { podCidrs, clusterCidrs, bridge }: PodTraffic): Flow[] {
  return FAMILIES.filter(
    (family) => tableFamily === "inet" || tableFamily === (family === 4 ? "ip" : "ip6"),
  ).flatMap((family): Flow[] => {
    const isOf = ({ address }: Prefix) => address.family === family;
    const [own, cluster] = [podCidrs.filter(isOf), clusterCidrs.filter(isOf)];
    // Of one node alone there is nobody to reach.
    const hasPeers = cluster.some((cidr) => !own.some((mine) => covers(mine, cidr)));
    if (own.length === 0 || !hasPeers) return [];
    return [
      { family, direction: "out", iifname: bridge, oifname: null, saddr: own, daddr: cluster },
      { family, direction: "in", iifname: null, oifname: bridge, saddr: cluster, daddr: own },
    ];
  });
}

function blockOf(table: NftTable, base: NftChain, flow: Flow) {
  const ends = walk({ table, flow, known: new Map() }, base, 0);
  const drops =
    ends.passes && base.policy === "drop" ? [...ends.drops, `${base.name}: policy drop`] : ends.drops;
  const isSpared = ends.accepts || (ends.passes && base.policy === "accept");
  const drop = drops.at(-1);
  return isSpared || drop === undefined ? [] : [{ flow, chain: base.name, drop }];
}

/** What one flow meets in one table; chains that many rules jump to are walked once. */
interface Walk {
  readonly table: NftTable;
  readonly flow: Flow;
  readonly known: Map<string, Ends>;
}

function walk(way: Walk, chain: NftChain, depth: number): Ends {
  const { flow } = way;
  let accepts = false;
  const drops: string[] = [];
  let passes = false;
  for (const { statements, handle } of chain.rules) {
    /** Whether packets come to this statement: all, or some. */
    let reach: "all" | "some" | "none" = "all";
    let goesOn = true;
    const apply = (verdict: NftVerdict, isSure: boolean) => {
      const ends = endsOf(way, `${chain.name}: `, handle, verdict, depth);
      accepts ||= ends.accepts;
      drops.push(...ends.drops);
      passes ||= ends.leaves;
      if (isSure && !ends.goesOn) goesOn = false;
    };
    for (const statement of statements) {
      if (reach === "none" || !goesOn) break;
      if (statement.kind === "if") {
        const holds = judge(statement.condition, flow);
        if (holds === false) reach = "none";
        else if (holds === null) reach = "some";
      } else if (statement.kind === "verdict") {
        apply(statement.verdict, reach === "all");
      } else {
        for (const { condition, verdict } of statement.choices) {
          const holds = judge(condition, flow);
          if (holds !== false) apply(verdict, reach === "all" && holds === true);
          if (holds === true) break;
        }
      }
    }
    if (!goesOn) return { accepts, drops, passes };
  }
  return { accepts, drops, passes: true };
}

/** `leaves`: a packet can leave the chain for the one that called it; `goesOn`: the rules behind can meet it. */
function endsOf(
  way: Walk,
  chain: string,
  handle: number,
  verdict: NftVerdict,
  depth: number,
): Omit<Ends, "passes"> & { readonly leaves: boolean; readonly goesOn: boolean } {
  const none = { accepts: false, drops: [], leaves: false, goesOn: false };
  switch (verdict.kind) {
    case "accept":
      return { ...none, accepts: true };
    case "drop":
      return { ...none, drops: [`${chain}${verdict.text}, handle ${handle}`] };
    case "return":
      return { ...none, leaves: true };
    case "continue":
      return { ...none, goesOn: true };
    case "unknown":
      return { ...none, accepts: true, goesOn: true };
    default: {
      const target =
        depth < DEEPEST ? way.table.chains.find(({ name }) => name === verdict.chain) : undefined;
      if (target === undefined) return { ...none, accepts: true, goesOn: true };
      const known = way.known.get(target.name) ?? walk(way, target, depth + 1);
      way.known.set(target.name, known);
      const { passes, ...ends } = known;
      const isGoto = verdict.kind === "goto";
      return { ...ends, leaves: isGoto && passes, goesOn: !isGoto && passes };
    }
  }
}

function judge({ term, values, isNegated, family }: NftCondition, flow: Flow): Maybe {
  if (family !== null && family !== flow.family) return false;
  if (term === null || values === null) return null;
  const found = values.map((value) => compare(term, value, flow));
  // Parts of the packets may each have their own value.
  const holds: Maybe = found.includes(true) ? true : found.every((one) => one === false) ? false : null;
  const isSplit = (term === "saddr" || term === "daddr") && holds === null && areCovered(flow[term], values);
  const all: Maybe = isSplit ? true : holds;
  return all === null ? null : all !== isNegated;
}

/** A new connection by TCP, without a DNAT, between a pod here and one elsewhere. */
function compare(term: NftTerm, value: NftValue, flow: Flow): Maybe {
  if (term === "saddr" || term === "daddr") {
    if (value.kind !== "network") return null;
    if (flow[term].every((cidr) => covers(value.prefix, cidr))) return true;
    return flow[term].some((cidr) => overlaps(value.prefix, cidr)) ? null : false;
  }
  if (value.kind !== "word") return null;
  const { word } = value;
  switch (term) {
    case "ct state":
      return word === "new";
    case "ct status":
      // Others than these are of no new connection that we know of.
      return word === "dnat" || word === "snat" ? false : null;
    case "nfproto":
      return word === (flow.family === 4 ? "ipv4" : "ipv6");
    case "l4proto":
      return /^[a-z]/.test(word) ? word === "tcp" : null;
    default:
      return compareName(word, flow[term], flow);
  }
}

function compareName(word: string, name: string | null, { iifname, oifname }: Flow): Maybe {
  const isName = (known: string) =>
    word.endsWith("*") ? known.startsWith(word.slice(0, -1)) : known === word;
  if (name !== null) return isName(name);
  // Another link than the bridge, and not the loopback.
  const bridge = iifname ?? oifname ?? "";
  if (word === "*") return true;
  return !word.endsWith("*") && (isName(bridge) || word === "lo") ? false : null;
}

function areCovered(cidrs: readonly Prefix[], values: readonly NftValue[]): boolean {
  return cidrs.every((cidr) =>
    values.some((value) => value.kind === "network" && covers(value.prefix, cidr)),
  );
}

/** Whether all of `inner` is in `outer`. */
function covers(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.address.family === inner.address.family &&
    outer.length <= inner.length &&
    contains(outer, inner.address)
  );
}
