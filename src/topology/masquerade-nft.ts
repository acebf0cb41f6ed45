import { FAMILIES, type Family } from "../net/address.ts";
import { hashHex } from "../net/hash.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import { HOST, type Plan } from "../plan/step.ts";
import { type MasqueradeWish, masqueradeSides } from "./masquerade.ts";

/** The table of a network (family inet): our mark and 32 bits of its name's hash. */
export function masqueradeTable(network: string): string {
  return `minicni_masq_${hashHex(network).slice(0, 8)}`;
}

/** nft refuses a set in which one prefix holds another, so these come collapsed. */
function anonymousSet(prefixes: readonly Prefix[]): string {
  return `{ ${prefixes.map(formatPrefix).join(", ")} }`;
}

function familyRules(wish: MasqueradeWish, family: Family): string[] {
  const { sources, spared } = masqueradeSides(wish, family);
  if (sources.length === 0) return [];
  const ip = family === 4 ? "ip" : "ip6";
  return [
    `${ip} daddr ${anonymousSet(spared)} return`,
    // fully-random: two SNATs at once may pick the same port otherwise (ip-masq-agent#51).
    `${ip} saddr ${anonymousSet(sources)} masquerade fully-random`,
  ];
}

function digestChain(rules: readonly string[]): string {
  return `digest_${hashHex(rules.join("\n")).slice(0, 8)}`;
}

/**
 * Whether `nft list table inet …` of the network's table shows the desired rules: their digest names a chain, and there
 * are as many. Nothing to masquerade is as desired without a table.
 */
export function hasNftMasquerade(wish: MasqueradeWish, listed: string): boolean {
  const rules = FAMILIES.flatMap((family) => familyRules(wish, family));
  if (rules.length === 0) return true;
  // The digest alone would outlive a `flush table`.
  const there = listed.split("\n").filter((line) => / (return|masquerade fully-random)$/.test(line.trim()));
  return listed.includes(`chain ${digestChain(rules)} {`) && there.length === rules.length;
}

/**
 * The plan that makes the network's table as desired, whatever was in it, in one transaction: no packet sees a moment
 * without it. Without a subnet the table goes.
 */
export function planNftMasquerade(wish: MasqueradeWish): Plan {
  const rules = FAMILIES.flatMap((family) => familyRules(wish, family));
  if (rules.length === 0) return planNftUnmasquerade(wish.network);
  const table = masqueradeTable(wish.network);
  const lines = [
    ...withoutTable(table),
    `table inet ${table} {`,
    // An empty chain, only there for its name.
    `  chain ${digestChain(rules)} {`,
    "  }",
    "  chain postrouting {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    ...rules.map((rule) => `    ${rule}`),
    "  }",
    "}",
  ];
  const why = `masquerade what leaves network ${wish.network}`;
  return [{ op: "rules.nft", netns: HOST, lines, why, isAtomic: true }];
}

/** Added first, since deleting a table that is not there would fail. */
function withoutTable(table: string): string[] {
  return [`add table inet ${table}`, `delete table inet ${table}`];
}

/** The plan that removes the network's table, there or not. */
export function planNftUnmasquerade(network: string): Plan {
  const why = `network ${network} has no attachment left`;
  return [
    { op: "rules.nft", netns: HOST, lines: withoutTable(masqueradeTable(network)), why, isAtomic: true },
  ];
}
