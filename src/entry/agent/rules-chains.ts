import { messageOf, OverdueError } from "../../host/errors.ts";
import { isForwardDropping, isTableThere, observeBaseChain, observeChain } from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import type { Family } from "../../net/address.ts";
import { iptablesProgram } from "../../plan/format.ts";
import type { IptablesVariant } from "../../plan/step.ts";
import { NODE_CHAINS, type NodeChain } from "../../topology/node-rules.ts";
import {
  type NodeRulesPlan,
  type ObservedChain,
  planNodeRulesRemoval,
} from "../../topology/node-rules-plan.ts";

/** One of the up to four sets of tables that a node has. */
export interface RulesPlace {
  readonly family: Family;
  readonly variant: IptablesVariant | undefined;
}

/** The result, or null and one more fault. OverdueError passes: the agent is ending. */
export async function unlessFailed<T>(faults: string[], work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OverdueError) throw error;
    faults.push(messageOf(error));
    return null;
  }
}

/**
 * The agent's chains and what leads to them, side by side. A chain that can't be read is left out, and told as a
 * fault, so that the other table is kept as desired all the same.
 */
export async function observeNodeChains(
  host: Host,
  { family, variant }: RulesPlace,
  chains: readonly NodeChain[],
  faults: string[],
): Promise<ObservedChain[]> {
  const looked = chains.map(({ table, chain, base }) =>
    unlessFailed(faults, async (): Promise<ObservedChain> => {
      const [rules, baseRules] = await Promise.all([
        observeChain(host, family, variant, table, chain),
        observeBaseChain(host, family, variant, table, base),
      ]);
      return { table, chain, base, rules, baseRules };
    }),
  );
  return (await Promise.all(looked)).filter((found) => found !== null);
}

/** The plan that takes all of the agent's chains out of one place. Tables that are not there are not looked at. */
export async function planRemoval(host: Host, place: RulesPlace, faults: string[]): Promise<NodeRulesPlan> {
  const { family, variant } = place;
  const there = NODE_CHAINS.filter(({ table }) => isTableThere(host, family, variant, table));
  return planNodeRulesRemoval(family, variant, await observeNodeChains(host, place, there, faults));
}

/**
 * Whether pods may be cut off where none of our rules are: packets pass the tables of both variants, and what one
 * accepts the other can drop (flannel#1317). Null: no reason to think so.
 */
export async function findOtherDrop(host: Host, { family, variant }: RulesPlace): Promise<string | null> {
  if (variant === undefined || !isTableThere(host, family, variant, "filter")) return null;
  if (!(await isForwardDropping(host, family, variant))) return null;
  const program = iptablesProgram(family, variant);
  return (
    `FORWARD of ${program} drops by policy, and pods' packets pass it as well as the tables that are used: ` +
    `\`${program} -P FORWARD ACCEPT\`, or let the program that set it use the iptables of kubelet`
  );
}
