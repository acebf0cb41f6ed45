import type { Family } from "../net/address.ts";
import { contains, overlaps, type Prefix } from "../net/prefix.ts";
import type { NftChain, NftCondition, NftTable, NftTerm, NftValue, NftVerdict } from "../plan/ruleset.ts";

/** One way that the first packet of a connection between pods of two nodes takes through this node. */
export interface Flow {
  readonly family: Family;
  readonly direction: "in" | "out";
  /** Null: one of the links to other nodes, whatever its name. */
  readonly iifname: string | null;
  readonly oifname: string | null;
  readonly saddr: readonly Prefix[];
  readonly daddr: readonly Prefix[];
}

/** Where a packet ends: a rule (`handle`), or a base chain's policy (null). */
export interface Drop {
  readonly chain: string;
  /** The verdict as nft prints it, or `policy drop`. */
  readonly text: string;
  readonly handle: number | null;
}

/** Three-valued: null where it can't be known, or holds for a part of the packets. */
type Maybe = boolean | null;

/** Where a packet can end; `drops`: by which chain and verdict. */
interface Ends {
  readonly accepts: boolean;
  readonly drops: readonly Drop[];
  /** It can come to the end of the chain. */
  readonly passes: boolean;
}

/** Deeper jumps are refused by the kernel (NFT_JUMP_STACK_SIZE of include/net/netfilter/nf_tables.h). */
const DEEPEST = 16;

/** Where all packets of a flow end in a base chain that lets none through; null: one may come through. */
export function findDrop(table: NftTable, base: NftChain, flow: Flow): Drop | null {
  const ends = walk({ table, flow, known: new Map() }, base, 0);
  const policy: Drop = { chain: base.name, text: "policy drop", handle: null };
  const drops = ends.passes && base.policy === "drop" ? [...ends.drops, policy] : ends.drops;
  const isSpared = ends.accepts || (ends.passes && base.policy === "accept");
  return isSpared ? null : (drops.at(-1) ?? null);
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
  const drops: Drop[] = [];
  let passes = false;
  for (const { statements, handle } of chain.rules) {
    /** Whether packets come to this statement: all, or some. */
    let reach: "all" | "some" | "none" = "all";
    let goesOn = true;
    const apply = (verdict: NftVerdict, isSure: boolean) => {
      const ends = endsOf(way, chain.name, handle, verdict, depth);
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
      return { ...none, drops: [{ chain, text: verdict.text, handle }] };
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

/** The loopback, and bridges for what runs on this node alone: Docker's, Podman's, libvirt's, LXD's. */
const INNER_LINK = /^(lo|docker\d+|br-[0-9a-f]{12}|(cni-)?podman\d+|virbr\d+|lxdbr\d+)$/;

function compareName(word: string, name: string | null, { iifname, oifname }: Flow): Maybe {
  const isName = (known: string) =>
    word.endsWith("*") ? known.startsWith(word.slice(0, -1)) : known === word;
  if (name !== null) return isName(name);
  // Another link than the bridge, and none of those by which no node is reached.
  const bridge = iifname ?? oifname ?? "";
  if (word === "*") return true;
  return !word.endsWith("*") && (isName(bridge) || INNER_LINK.test(word)) ? false : null;
}

function areCovered(cidrs: readonly Prefix[], values: readonly NftValue[]): boolean {
  return cidrs.every((cidr) =>
    values.some((value) => value.kind === "network" && covers(value.prefix, cidr)),
  );
}

/** Whether all of `inner` is in `outer`. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.address.family === inner.address.family &&
    outer.length <= inner.length &&
    contains(outer, inner.address)
  );
}
