import type { Family } from "../net/address.ts";
import { HOST, type IptablesVariant, type Step } from "../plan/step.ts";
import { NODE_CHAINS } from "./node-rules.ts";

/** Chains of the plugin's masquerade; those of the agent are planned by what `iptables -S` shows of each. */
const CHAIN = /^:(MINICNI-[A-Za-z0-9_-]+) /;
const TABLE = /^table (inet|bridge) (minicni_(?:masq|spoof)_[0-9a-f]{8})$/;

/**
 * The steps that take every chain with our mark but the agent's, and what leads to them, out of a table as
 * `iptables-save -t nat` shows it: one transaction.
 */
export function planChainsRemoval(
  family: Family,
  variant: IptablesVariant | undefined,
  saved: string,
): Step[] {
  const lines = saved.split("\n").map((line) => line.trim());
  const chains = lines
    .flatMap((line) => CHAIN.exec(line)?.[1] ?? [])
    .filter((name) => !NODE_CHAINS.some(({ chain }) => chain === name));
  if (chains.length === 0) return [];
  const leadsToOurs = (line: string) =>
    chains.some((chain) => line.endsWith(` -j ${chain}`) || line.endsWith(` -g ${chain}`));
  const isInside = (line: string) => chains.some((chain) => line.startsWith(`-A ${chain} `));
  const jumps = lines.filter((line) => line.startsWith("-A ") && leadsToOurs(line) && !isInside(line));
  return [
    {
      op: "rules.restore",
      netns: HOST,
      family,
      ...(variant && { variant }),
      lines: [
        "*nat",
        ...chains.map((chain) => `:${chain} - [0:0]`),
        ...jumps.map((line) => line.replace(/^-A /, "-D ")),
        ...chains.map((chain) => `-X ${chain}`),
        "COMMIT",
      ],
      why: "the plugin's masquerade rules",
      isAtomic: true,
    },
  ];
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
