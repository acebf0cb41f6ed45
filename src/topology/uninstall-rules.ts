import type { Family } from "../net/address.ts";
import { HOST, type IptablesVariant, type Step } from "../plan/step.ts";
import { NODE_CHAINS } from "./node-rules.ts";
import { deletions, leadsTo } from "./node-rules-plan.ts";

/** Chains of the plugin's masquerade and host ports; the agent's are planned by what `iptables -S` shows of each. */
const CHAIN = /^:(MINICNI-(?:(?:MASQ|DNAT)-[0-9a-f]{8}|HOSTPORTS|HOSTPORT-SNAT|LOCALNET)) /;
const TABLE = /^table (inet|bridge) (minicni_(?:(?:masq|spoof)_[0-9a-f]{8}|hostports))$/;

/** A table of iptables as `iptables-save -t` shows it. */
export interface SavedTable {
  readonly family: Family;
  /** Undefined: the plain iptables. */
  readonly variant: IptablesVariant | undefined;
  readonly table: "filter" | "nat" | "raw";
  readonly saved: string;
}

/**
 * The steps that take every chain with our mark but the agent's, and what leads to them, out of a table: one
 * transaction.
 */
export function planChainsRemoval(table: SavedTable): Step[] {
  const chains = linesOf(table).flatMap((line) => CHAIN.exec(line)?.[1] ?? []);
  if (chains.length === 0) return [];
  const lines = [
    ...chains.map((chain) => `:${chain} - [0:0]`),
    ...jumpsTo(chains, table),
    ...chains.map((chain) => `-X ${chain}`),
  ];
  return [restore(table, lines, "the plugin's rules")];
}

/**
 * The steps that delete what leads to the agent's chains from chains of others, without which these can't be removed;
 * the jumps from the built-in chains are planned with them. A transaction each: iptables does not understand each text
 * of its own (connlimit, recent), and such a rule must not keep the others.
 */
export function planForeignJumpsRemoval(table: SavedTable): Step[] {
  return NODE_CHAINS.filter((each) => each.table === table.table).flatMap(({ chain, base }) => {
    const jumps = jumpsTo([chain], table).filter((line) => !line.startsWith(`-D ${base} `));
    return jumps.map((line) => restore(table, [line], `rules of others that lead to ${chain}`));
  });
}

function linesOf({ saved }: SavedTable): string[] {
  return saved.split("\n").map((line) => line.trim());
}

/** Deletions of the rules outside of these chains that lead to them. */
function jumpsTo(chains: readonly string[], table: SavedTable): string[] {
  const leads = (line: string) => chains.some((chain) => leadsTo(chain)(line));
  const isInside = (line: string) => chains.some((chain) => line.startsWith(`-A ${chain} `));
  const isRule = (line: string) => line.startsWith("-A ");
  return deletions(linesOf(table).filter((line) => isRule(line) && leads(line) && !isInside(line)));
}

function restore({ family, variant, table }: SavedTable, lines: readonly string[], why: string): Step {
  return {
    op: "rules.restore",
    netns: HOST,
    family,
    ...(variant && { variant }),
    lines: [`*${table}`, ...lines, "COMMIT"],
    why,
    isAtomic: true,
  };
}

/** The steps that drop our tables of nftables, from `nft list tables`. */
export function planTablesRemoval(listed: string): Step[] {
  const tables = listed.split("\n").flatMap((line) => {
    const [, family, name] = TABLE.exec(line.trim()) ?? [];
    return family === undefined || name === undefined ? [] : [`delete table ${family} ${name}`];
  });
  return tables.length === 0
    ? []
    : [{ op: "rules.nft", netns: HOST, lines: tables, why: "the plugin's tables of nftables" }];
}
