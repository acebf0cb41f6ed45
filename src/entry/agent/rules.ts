import { ExecuteError } from "../../host/errors.ts";
import {
  chooseVariant,
  isFamilyThere,
  isRandomFullyKnown,
  isTableThere,
  type VariantChoice,
} from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import type { IptablesVariant, Plan } from "../../plan/step.ts";
import { type DesiredChain, describeNodeRules, type NodeRulesWish } from "../../topology/node-rules.ts";
import {
  type NodeRulesPlan,
  type ObservedChain,
  planNodeRules,
  type RuleChange,
} from "../../topology/node-rules-plan.ts";
import {
  findOtherDrop,
  observeNodeChains,
  planRemoval,
  type RulesPlace,
  unlessFailed,
} from "./rules-chains.ts";

/** How often the iptables variant is chosen anew, and leftovers are looked for, in milliseconds. */
const VARIANT_PERIOD_MS = 20_000;
/** A jump goes ahead of others' refusals at most this often, in milliseconds: whoever put them there may insist. */
const MOVE_PERIOD_MS = 30_000;

/** A change, and whether it repairs what had been as desired before (false: the desired rules are others now). */
export interface MadeChange extends RuleChange {
  readonly isRepair: boolean;
}

/** What one pass over the rules did. */
export interface RulesOutcome {
  readonly changes: readonly MadeChange[];
  /** One sentence each: why the rules are not as desired. */
  readonly faults: readonly string[];
  /** One sentence each: the rules are as desired, and pods may suffer all the same. Told until it is no longer so. */
  readonly warnings: readonly string[];
  /** One sentence each, told like warnings: foreign nftables chains that drop pods' packets. */
  readonly forwardBlocks?: readonly string[];
  /** Undefined: the plain programs, or nothing could be chosen. */
  readonly variant: IptablesVariant | undefined;
  /** The steps that were executed; with `isDryRun` those that would be. */
  readonly plan: Plan;
}

/** Keeps the node's iptables rules. */
export interface Rules {
  /**
   * Brings the rules to the wish; what is costly about an unchanged wish is done once when it is the same object.
   * Throws OverdueError alone: every other failure is a fault, and keeps nothing else from being done.
   */
  resync(wish: NodeRulesWish, options?: { readonly isDryRun: boolean }): Promise<RulesOutcome>;
}

type Part = Omit<RulesOutcome, "variant" | "warnings">;

/** One family's rules as they should be; `text` is the same for the same rules. */
interface Desired {
  readonly wish: NodeRulesWish;
  readonly chains: readonly DesiredChain[] | null;
  readonly text: string;
}

/** What one family's rules looked like when they were last as desired. */
interface Settled {
  readonly text: string;
  /** Rules as the kernel prints them, by chain, where it prints them in other words. */
  readonly printed: ReadonlyMap<string, string>;
}

/** The rules of our own namespace. `nowMs`: a clock that is never set. */
export function createRules(host: Host, nowMs: () => number = () => performance.now()): Rules {
  const described = new Map<Family, Desired>();
  const settled = new Map<Family, Settled>();
  const movedAt = new Map<Family, number>();
  const randomFully = new Map<string, boolean>();
  let choice: VariantChoice | null = null;
  let chosenAt = 0;
  /** What was found when the variant was chosen: true until it is looked again. */
  let warnings: string[] = [];

  const choose = async (): Promise<void> => {
    const found = await chooseVariant(host);
    if (found.variant !== choice?.variant) {
      settled.clear();
      described.clear();
    }
    choice = found;
    chosenAt = nowMs();
  };

  const isRandom = async ({ family, variant }: RulesPlace): Promise<boolean> => {
    const key = `${family} ${variant}`;
    const known = randomFully.get(key) ?? (await isRandomFullyKnown(host, family, variant));
    randomFully.set(key, known);
    return known;
  };

  const describe = async (place: RulesPlace, wish: NodeRulesWish, faults: string[]): Promise<Desired> => {
    const { family } = place;
    const last = described.get(family);
    if (last?.wish === wish) return last;
    const isUsed = wish.randomFully && wish.masquerade && hasPods(wish, family);
    const random = isUsed ? await unlessFailed(faults, () => isRandom(place)) : false;
    const all = describeNodeRules({ ...wish, randomFully: random ?? false }, family);
    // As long as it can't be asked, nat stays as it is; filter has nothing to do with it.
    const chains = random === null ? (all?.filter(({ table }) => table === "filter") ?? null) : all;
    const desired = { wish, chains, text: JSON.stringify(chains) };
    if (random !== null) described.set(family, desired);
    return desired;
  };

  const look = async (
    place: RulesPlace,
    chains: readonly DesiredChain[],
    text: string,
    faults: string[],
  ): Promise<NodeRulesPlan> => {
    const { family, variant } = place;
    const known = settled.get(family);
    const observed = await observeNodeChains(host, place, chains, faults);
    // What the kernel prints in other words is what was written (flannel#2145: written anew for ever).
    const read = observed.map((found): ObservedChain => {
      const isSame = known?.text === text && known.printed.get(found.chain) === JSON.stringify(found.rules);
      const wanted = chains.find(({ chain }) => chain === found.chain);
      return isSame && wanted !== undefined ? { ...found, rules: wanted.rules } : found;
    });
    const mayMove = nowMs() - (movedAt.get(family) ?? Number.NEGATIVE_INFINITY) >= MOVE_PERIOD_MS;
    return planNodeRules(family, variant, chains, read, mayMove);
  };

  /** Reads back what was just written; a fault when rules were lost on the way (kube-router#1588). */
  const settle = async (
    place: RulesPlace,
    chains: readonly DesiredChain[],
    text: string,
    faults: string[],
  ): Promise<void> => {
    const printed = new Map<string, string>();
    for (const { chain, rules } of await observeNodeChains(host, place, chains, faults)) {
      const desired = chains.find((one) => one.chain === chain)?.rules ?? null;
      if (JSON.stringify(rules) === JSON.stringify(desired)) continue;
      if (rules !== null && rules.length === desired?.length) printed.set(chain, JSON.stringify(rules));
      else
        faults.push(
          `${chain} (IPv${place.family}) is not as it was just written: another program changes it`,
        );
    }
    settled.set(place.family, { text, printed });
  };

  const resyncFamily = async (place: RulesPlace, wish: NodeRulesWish, isDryRun: boolean): Promise<Part> => {
    const { family, variant } = place;
    const faults: string[] = [];
    const { chains: all, text } = await describe(place, wish, faults);
    if (all === null || all.every(({ rules }) => rules === null)) return NOTHING;
    const chains = all.filter(
      ({ rules, table }) => rules !== null || isTableThere(host, family, variant, table),
    );
    const isRepair = settled.get(family)?.text === text;
    const found = await look(place, chains, text, faults);
    faults.push(...found.waiting.map((chain) => describeWaiting(chain, family)));
    const changes = found.changes.map((change) => ({ ...change, isRepair }));
    if (isDryRun) return { changes, faults, plan: found.plan };
    if (found.plan.length === 0) {
      if (!isRepair && faults.length === 0) settled.set(family, { text, printed: new Map() });
      return { changes, faults, plan: [] };
    }
    const plan = await unlessFailed(faults, () =>
      executeFresh(found.plan, () => look(place, chains, text, [])),
    );
    if (plan === null) return { changes: [], faults, plan: [] };
    if (changes.some(({ what }) => what === "jump behind a refusal")) movedAt.set(family, nowMs());
    await settle(place, chains, text, faults);
    return { changes, faults, plan };
  };

  /** Executes; once more with a new look when somebody changed a chain between look and change. Returns what was done. */
  const executeFresh = async (plan: Plan, again: () => Promise<NodeRulesPlan>): Promise<Plan> => {
    try {
      await host.execute(plan);
      return plan;
    } catch (error) {
      if (!(error instanceof ExecuteError)) throw error;
    }
    const fresh = await again();
    if (fresh.plan.length > 0) await host.execute(fresh.plan);
    return fresh.plan;
  };

  /** Takes our chains out of where none of ours belong. */
  const clean = async (place: RulesPlace, isDryRun: boolean): Promise<Part> => {
    // What can't be looked at has nothing of ours: an iptables that does not work can't have been used.
    const { plan, changes } = await planRemoval(host, place, []);
    if (plan.length > 0 && !isDryRun) await host.execute(plan);
    return { changes: changes.map((change) => ({ ...change, isRepair: false })), faults: [], plan };
  };

  return {
    resync: async (wish, { isDryRun } = { isDryRun: false }) => {
      const faults: string[] = [];
      const isDue = choice === null || nowMs() - chosenAt >= VARIANT_PERIOD_MS;
      if (isDue) await unlessFailed(faults, choose);
      if (choice === null) return { changes: [], faults, warnings: [], variant: undefined, plan: [] };
      const { variant, others, warning } = choice;
      const families = FAMILIES.filter((family) => isFamilyThere(host, family));
      const kept = families.map((family) =>
        unlessFailed(faults, () => resyncFamily({ family, variant }, wish, isDryRun)),
      );
      const parts: (Part | null)[] = await Promise.all(kept);
      if (isDue) {
        warnings = warning === null ? [] : [warning];
        const isUnused = (family: Family) => wish.podCidrs.length > 0 && !hasPods(wish, family);
        const elsewhere = others.flatMap((other) => families.map((family) => ({ family, variant: other })));
        const places = [...elsewhere, ...families.filter(isUnused).map((family) => ({ family, variant }))];
        // After the rules are where they belong, so that no packet meets none.
        const cleaned = places.map((place) => unlessFailed(warnings, () => clean(place, isDryRun)));
        parts.push(...(await Promise.all(cleaned)));
        const used = elsewhere.filter(({ family }) => hasPods(wish, family));
        const drops = used.map((place) => unlessFailed(warnings, () => findOtherDrop(host, place)));
        warnings.push(...(await Promise.all(drops)).filter((drop) => drop !== null));
      }
      const done = parts.filter((part) => part !== null);
      return {
        changes: done.flatMap(({ changes }) => changes),
        faults: [...faults, ...done.flatMap((part) => part.faults)],
        warnings,
        variant,
        plan: done.flatMap(({ plan }) => plan),
      };
    },
  };
}

const NOTHING: Part = { changes: [], faults: [], plan: [] };

function hasPods({ podCidrs }: NodeRulesWish, family: Family): boolean {
  return podCidrs.some(({ address }) => address.family === family);
}

function describeWaiting(chain: string, family: Family): string {
  const period = `${MOVE_PERIOD_MS / 1000} s`;
  return `another program keeps a DROP or REJECT ahead of the jump to ${chain} (IPv${family}); it is moved ahead every ${period}`;
}
