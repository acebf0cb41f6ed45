import type { Family } from "../net/address.ts";
import { parseAddress } from "../net/address.ts";
import { hostPrefix, networkOf, parsePrefix } from "../net/prefix.ts";
import type { NftChain, NftCondition, NftRule, NftTable, NftValue, NftVerdict } from "../plan/ruleset.ts";

/** A chain as `iptables -S` shows it. */
export interface IptablesChain {
  readonly name: string;
  /** Of a built-in chain: `ACCEPT`, `DROP`; null: it has none. */
  readonly policy: string | null;
  /** Its rules: `-A FORWARD -s 10.0.0.0/8 -j ACCEPT`. */
  readonly rules: readonly string[];
}

const UNKNOWN: NftCondition = { term: null, values: null, isNegated: false, family: null };
/** Fulfilled by no packet. */
const NEVER: NftCondition = { term: "ct state", values: [], isNegated: false, family: null };
/** Set by kube-proxy on what it masquerades, which is nothing that goes to a pod's own address. */
const KUBE_MARK = "0x4000/0x4000";
/** Modules that compare nothing by themselves. */
const PLAIN_MODULES = /^(comment|conntrack|state|mark|tcp|udp|icmp|icmp6)$/;
/** Targets after which the packet goes on to the next rule (iptables-extensions(8)). */
const EFFECTS =
  /^(LOG|NFLOG|ULOG|MARK|CONNMARK|TCPMSS|TRACE|CLASSIFY|SET|DSCP|TOS|AUDIT|SECMARK|CONNSECMARK)$/;

/**
 * The chain FORWARD of the table `filter` and what it leads to, in the words of nftables: both decide alike, and one walk
 * judges both. The handle of a rule is its place, from 1.
 */
export function toNftTable(family: Family, chains: readonly IptablesChain[]): NftTable {
  const known = new Set(chains.map(({ name }) => name));
  return {
    family: family === 4 ? "ip" : "ip6",
    name: "filter",
    chains: chains.map(
      ({ name, policy, rules }): NftChain => ({
        name,
        hook: policy === null ? null : name.toLowerCase(),
        policy: policy === "DROP" ? "drop" : "accept",
        rules: rules.map((rule, index) => toRule(rule, index + 1, known)),
      }),
    ),
  };
}

/** The chain or target that a rule leads to; null: it only counts. */
export function targetOf(rule: string): string | null {
  const words = wordsOf(rule);
  const at = words.findIndex((word) => word === "-j" || word === "-g");
  return at < 0 ? null : (words[at + 1] ?? null);
}

function toRule(rule: string, handle: number, chains: ReadonlySet<string>): NftRule {
  const words = wordsOf(rule).slice(2);
  const conditions: NftCondition[] = [];
  let isNegated = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const next = words[at + 1] ?? "";
    if (word === "!") {
      isNegated = true;
      continue;
    }
    if (word === "-j" || word === "-g") {
      const verdict = verdictOf(next, word === "-g", chains);
      return { handle, statements: [...conditions.map(toIf), { kind: "verdict", verdict }] };
    }
    if (!word.startsWith("-")) continue;
    const condition = conditionOf(word, next, isNegated);
    if (condition !== null) conditions.push(condition);
    isNegated = false;
  }
  return { handle, statements: conditions.map(toIf) };
}

const toIf = (condition: NftCondition) => ({ kind: "if", condition }) as const;

/** Null: an option that compares nothing. */
function conditionOf(option: string, value: string, isNegated: boolean): NftCondition | null {
  const of = (term: NftCondition["term"], values: readonly NftValue[] | null): NftCondition => ({
    term,
    values,
    isNegated,
    family: null,
  });
  const words = (text: string) => text.split(",").map((word): NftValue => ({ kind: "word", word }));
  switch (option) {
    case "-s":
      return of("saddr", networkValues(value));
    case "-d":
      return of("daddr", networkValues(value));
    case "-i":
      return of("iifname", words(value.replace(/\+$/, "*")));
    case "-o":
      return of("oifname", words(value.replace(/\+$/, "*")));
    case "-p":
      return value === "all" ? null : of("l4proto", words(value));
    case "--ctstate":
    case "--state":
      return of("ct state", words(value.toLowerCase()));
    case "--ctstatus":
      return of("ct status", words(value.toLowerCase()));
    case "--comment":
      return null;
    case "--mark":
      return value === KUBE_MARK && !isNegated ? NEVER : UNKNOWN;
    case "-m":
      return PLAIN_MODULES.test(value) ? null : UNKNOWN;
    default:
      return UNKNOWN;
  }
}

function networkValues(text: string): NftValue[] | null {
  const address = parseAddress(text);
  const prefix = address === null ? parsePrefix(text) : hostPrefix(address);
  return prefix === null ? null : [{ kind: "network", prefix: networkOf(prefix) }];
}

function verdictOf(target: string, isGoto: boolean, chains: ReadonlySet<string>): NftVerdict {
  if (chains.has(target)) return { kind: isGoto ? "goto" : "jump", chain: target };
  if (target === "ACCEPT") return { kind: "accept" };
  if (target === "DROP" || target === "REJECT") return { kind: "drop", text: target };
  if (target === "RETURN") return { kind: "return" };
  return { kind: EFFECTS.test(target) ? "continue" : "unknown" };
}

/** Words of a rule; what stands in quotes is one of them. */
function wordsOf(rule: string): string[] {
  return rule.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
}
