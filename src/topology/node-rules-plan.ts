import type { Family } from "../net/address.ts";
import { HOST, type IptablesVariant, type Plan } from "../plan/step.ts";
import type { DesiredChain, NodeChain } from "./node-rules.ts";

/** What `iptables -S` shows of a chain of ours and of the one that should lead to it. */
export interface ObservedChain extends NodeChain {
  /** Lines of our chain; null: there is none. */
  readonly rules: readonly string[] | null;
  /** Lines of the built-in chain, jumps to ours among them. */
  readonly baseRules: readonly string[];
}

/** What was not as desired about a chain. */
export type RuleCause =
  | "missing chain"
  | "rules differ"
  | "missing jump"
  | "extra jump"
  | "jump behind a refusal"
  | "unwanted chain";

/** One reason for a change. */
export interface RuleChange {
  readonly family: Family;
  readonly chain: string;
  readonly what: RuleCause;
}

/** How to come from the observed to the desired chains of one family. */
export interface NodeRulesPlan {
  /** One `iptables-restore` for both tables; empty when nothing has to change. */
  readonly plan: Plan;
  readonly changes: readonly RuleChange[];
  /** Chains whose jump would have to move ahead, which was not allowed this time. */
  readonly waiting: readonly string[];
}

/**
 * Policy engines that must see pod traffic before it is accepted, each at the front of FORWARD by its own care:
 * Calico (`ChainInsertMode: insert`) and kube-router.
 */
const POLICY_JUMP = / -j (cali-FORWARD|KUBE-ROUTER-FORWARD)$/;
const REFUSAL = / -j (DROP|REJECT)( |$)/;

/**
 * Plans one family. A chain that differs is replaced whole. Its jump is as desired when it is there once, without
 * conditions, and no rule before it drops or rejects by itself (firewalld and CentOS end FORWARD with a REJECT that
 * appended accepts never come by, flannel#1033). Jumps of others before ours stay: docker, kube-proxy and policy
 * engines insert theirs at position 1 as well, and two programs that both insist on it would fight for ever. A missing
 * jump comes to position 1, or behind policy engines that lead the chain.
 *
 * `mayMove` false: a jump that is only behind a refusal stays for now and is told as waiting.
 */
export function planNodeRules(
  family: Family,
  variant: IptablesVariant | undefined,
  desired: readonly DesiredChain[],
  observed: readonly ObservedChain[],
  mayMove = true,
): NodeRulesPlan {
  const lines: string[] = [];
  const changes: RuleChange[] = [];
  const waiting: string[] = [];
  for (const wanted of desired) {
    const found = observed.find(({ chain }) => chain === wanted.chain);
    if (found === undefined) continue;
    const change =
      wanted.rules === null ? removal(found) : repair(wanted.chain, wanted.rules, found, mayMove);
    if (change.isWaiting) waiting.push(wanted.chain);
    if (change.causes.length === 0) continue;
    changes.push(...change.causes.map((what) => ({ family, chain: wanted.chain, what })));
    lines.push(`*${wanted.table}`, ...change.lines, "COMMIT");
  }
  const why = changes.map(({ chain, what }) => `${chain}: ${what}`).join(", ");
  const plan: Plan =
    lines.length === 0
      ? []
      : [{ op: "rules.restore", netns: HOST, family, lines, why, ...(variant && { variant }) }];
  return { plan, changes, waiting };
}

/** Plans the complete removal of the observed chains of one family and of the jumps to them. */
export function planNodeRulesRemoval(
  family: Family,
  variant: IptablesVariant | undefined,
  observed: readonly ObservedChain[],
): NodeRulesPlan {
  const desired = observed.map(({ table, chain, base }) => ({ table, chain, base, rules: null }));
  return planNodeRules(family, variant, desired, observed);
}

interface ChainChange {
  readonly lines: readonly string[];
  readonly causes: readonly RuleCause[];
  readonly isWaiting: boolean;
}

/** Whether a rule as `iptables -S` prints it leads to the chain. */
export function leadsTo(chain: string): (line: string) => boolean {
  return (line) => line.endsWith(` -j ${chain}`) || line.endsWith(` -g ${chain}`);
}

/** What deletes these rules. */
export function deletions(jumps: readonly string[]): string[] {
  return jumps.map((line) => line.replace(/^-A /, "-D "));
}

function removal({ chain, rules, baseRules }: ObservedChain): ChainChange {
  const jumps = baseRules.filter(leadsTo(chain));
  if (rules === null && jumps.length === 0) return { lines: [], causes: [], isWaiting: false };
  const lines = [`:${chain} - [0:0]`, ...deletions(jumps), `-X ${chain}`];
  return { lines, causes: ["unwanted chain"], isWaiting: false };
}

function repair(
  chain: string,
  desired: readonly string[],
  { base, rules, baseRules }: ObservedChain,
  mayMove: boolean,
): ChainChange {
  const isSame = rules?.length === desired.length && desired.every((rule, index) => rules[index] === rule);
  const placed = placement(`-A ${base} -j ${chain}`, chain, baseRules);
  const isWaiting = placed === "jump behind a refusal" && !mayMove;
  const moves = placed !== null && !isWaiting;
  const causes: RuleCause[] = [];
  if (rules === null) causes.push("missing chain");
  else if (!isSame) causes.push("rules differ");
  if (moves) causes.push(placed);
  if (causes.length === 0) return { lines: [], causes, isWaiting };
  const others = baseRules.filter((line) => !leadsTo(chain)(line));
  const behind = others.findIndex((line) => !POLICY_JUMP.test(line));
  const position = 1 + (behind < 0 ? others.length : behind);
  const jump = [...deletions(baseRules.filter(leadsTo(chain))), `-I ${base} ${position} -j ${chain}`];
  return {
    // A line with a chain of our own empties it, even with --noflush.
    lines: [...(isSame ? [] : [`:${chain} - [0:0]`, ...desired]), ...(moves ? jump : [])],
    causes,
    isWaiting,
  };
}

/** What is wrong with the jump; null when nothing is. */
function placement(jump: string, chain: string, baseRules: readonly string[]): RuleCause | null {
  const jumps = baseRules.filter(leadsTo(chain));
  if (jumps.length === 0) return "missing jump";
  if (jumps.length > 1 || jumps[0] !== jump) return "extra jump";
  const ahead = baseRules.slice(0, baseRules.indexOf(jump));
  return ahead.some((line) => REFUSAL.test(line)) ? "jump behind a refusal" : null;
}
