import { type Family, parseAddress } from "../net/address.ts";
import { hashHex } from "../net/hash.ts";
import { mergePrefixes } from "../net/merge.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import { HOST, type Plan } from "../plan/step.ts";

/** What a network's masquerade depends on; of both families. The rules are static: none is per pod. */
export interface MasqueradeWish {
  readonly network: string;
  /** What leaves these is masqueraded. */
  readonly subnets: readonly Prefix[];
  /** What goes here keeps its source, besides the subnets and multicast: the cluster's CIDRs. */
  readonly exempt: readonly Prefix[];
}

/** The chain of a network: our mark and 32 bits of its name's hash (an iptables chain name has 28 characters). */
export function masqueradeChain(network: string): string {
  return `MINICNI-MASQ-${hashHex(network).slice(0, 8)}`;
}

/** Multicast (RFC 5771, RFC 4291 §2.7). */
export const MULTICAST = [
  { text: "224.0.0.0", length: 4 },
  { text: "ff00::", length: 8 },
].flatMap(({ text, length }): Prefix[] => {
  const address = parseAddress(text);
  return address === null ? [] : [{ address, length }];
});

/** One family's sources and the destinations that are let alone, each in the fewest prefixes. */
export function masqueradeSides(
  { subnets, exempt }: MasqueradeWish,
  family: Family,
): { readonly sources: readonly Prefix[]; readonly spared: readonly Prefix[] } {
  const ofFamily = (prefixes: readonly Prefix[]) =>
    mergePrefixes(prefixes.filter(({ address }) => address.family === family));
  return { sources: ofFamily(subnets), spared: ofFamily([...subnets, ...exempt, ...MULTICAST]) };
}

/** `--random-fully`: two SNATs at once may pick the same port otherwise (ip-masq-agent#51). */
function chainRules(wish: MasqueradeWish, family: Family): string[] {
  const chain = masqueradeChain(wish.network);
  const { sources, spared } = masqueradeSides(wish, family);
  return [
    ...spared.map((prefix) => `-A ${chain} -d ${formatPrefix(prefix)} -j RETURN`),
    ...sources.map((prefix) => `-A ${chain} -s ${formatPrefix(prefix)} -j MASQUERADE --random-fully`),
  ];
}

/** Whether `iptables -t nat -S <chain>` shows the network's chain as desired. */
export function hasChain(wish: MasqueradeWish, family: Family, listed: string): boolean {
  const chain = masqueradeChain(wish.network);
  const rules = listed.split("\n").filter((line) => line.startsWith(`-A ${chain} `));
  const desired = chainRules(wish, family);
  return rules.length === desired.length && desired.every((rule, index) => rules[index]?.trim() === rule);
}

/** xt_comment takes 256 bytes with the closing zero; the mark, two colons and the digest take 17. */
const MAX_NAME = 255 - 17;

/**
 * Words of the one jump into the chain, behind `-A`, `-C`, `-I` or `-D`. Its comment has a digest of the chain, so
 * that `iptables -C` tells whether it is the jump to the desired rules. A name longer than a comment is cut.
 */
export function masqueradeJump(wish: MasqueradeWish, family: Family): string[] {
  const digest = hashHex(chainRules(wish, family).join("\n")).slice(0, 8);
  const comment = `minicni:${wish.network.slice(0, MAX_NAME)}:${digest}`;
  return ["POSTROUTING", "-m", "comment", "--comment", comment, "-j", masqueradeChain(wish.network)];
}

/** What an `iptables-save -t nat` says about one chain. */
interface SavedChain {
  readonly isThere: boolean;
  readonly rules: readonly string[];
  /** The rules of other chains that lead to it, without their `-A`, in the words of iptables-save. */
  readonly jumps: readonly string[];
}

function readChain(chain: string, observed: string): SavedChain {
  const lines = observed.split("\n").map((line) => line.trim());
  const rules = lines.filter((line) => line.startsWith(`-A ${chain} `));
  const leadsHere = (line: string) => line.endsWith(` -j ${chain}`) || line.endsWith(` -g ${chain}`);
  return {
    isThere: lines.some((line) => line.startsWith(`:${chain} `)),
    rules,
    jumps: lines
      .filter((line) => line.startsWith("-A ") && !line.startsWith(`-A ${chain} `) && leadsHere(line))
      .map((line) => line.slice("-A ".length)),
  };
}

/**
 * What has to change in the observed nat table (`iptables-save -t nat`) for one family to be masqueraded as desired:
 * the chain is replaced, every jump into it goes, and ours comes to position 1 of POSTROUTING, in one transaction.
 * Empty when all is as desired. For when `-C` did not find the jump of {@link masqueradeJump}.
 */
export function planMasquerade(wish: MasqueradeWish, family: Family, observed: string): Plan {
  if (masqueradeSides(wish, family).sources.length === 0)
    return planUnmasquerade(wish.network, family, observed);
  const chain = masqueradeChain(wish.network);
  const saved = readChain(chain, observed);
  const desired = chainRules(wish, family);
  const [place = "", ...jump] = masqueradeJump(wish, family);
  const wanted = [place, ...jump].join(" ");
  // iptables-save puts a comment with a colon into quotes.
  const isOnlyJump = saved.jumps.length === 1 && saved.jumps[0]?.replaceAll('"', "") === wanted;
  const isSame =
    saved.rules.length === desired.length && desired.every((rule, index) => saved.rules[index] === rule);
  if (isOnlyJump && isSame) return [];
  const lines = [
    "*nat",
    `:${chain} - [0:0]`,
    ...desired,
    ...saved.jumps.map((words) => `-D ${words}`),
    `-I ${place} 1 ${jump.join(" ")}`,
    "COMMIT",
  ];
  const why = `masquerade what leaves network ${wish.network}`;
  return [{ op: "rules.restore", netns: HOST, family, lines, why, isAtomic: true }];
}

/** The plan that removes a network's chain and all jumps into it; empty when the observed table has neither. */
export function planUnmasquerade(network: string, family: Family, observed: string): Plan {
  const chain = masqueradeChain(network);
  const { isThere, jumps } = readChain(chain, observed);
  if (!isThere && jumps.length === 0) return [];
  const lines = [
    "*nat",
    `:${chain} - [0:0]`,
    ...jumps.map((words) => `-D ${words}`),
    `-X ${chain}`,
    "COMMIT",
  ];
  const why = `network ${network} has no attachment left`;
  return [{ op: "rules.restore", netns: HOST, family, lines, why, isAtomic: true }];
}
