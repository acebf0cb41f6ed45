import type { Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/** What a rule of nftables looks at, as far as anything is concluded from it. */
export type NftTerm =
  | "ct state"
  | "ct status"
  | "iifname"
  | "oifname"
  | "nfproto"
  | "l4proto"
  | "saddr"
  | "daddr";

/** One value that a packet's is compared with: a word, or addresses (of a range, the networks that make it up). */
export type NftValue =
  | { readonly kind: "word"; readonly word: string }
  | { readonly kind: "network"; readonly prefix: Prefix };

/** A condition. `term` null: one from which nothing is concluded. `values` null: they are not known (a named set). */
export interface NftCondition {
  readonly term: NftTerm | null;
  readonly values: readonly NftValue[] | null;
  readonly isNegated: boolean;
  /** Packets of the other family never fulfil it, negated or not; null: of either. */
  readonly family: Family | null;
}

/** What becomes of a packet. `text`: the verdict as nft prints it. */
export type NftVerdict =
  | { readonly kind: "accept" | "return" | "continue" | "unknown" }
  | { readonly kind: "drop"; readonly text: string }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

/** One part of a rule, in order; a verdict map is one condition with its verdict for each of its keys. */
export type NftStatement =
  | { readonly kind: "if"; readonly condition: NftCondition }
  | { readonly kind: "verdict"; readonly verdict: NftVerdict }
  | {
      readonly kind: "map";
      readonly choices: readonly { readonly condition: NftCondition; readonly verdict: NftVerdict }[];
    };

export interface NftRule {
  /** By which `nft -a list` and `nft delete rule` know it. */
  readonly handle: number;
  readonly statements: readonly NftStatement[];
}

export interface NftChain {
  readonly name: string;
  /** Null: no base chain. */
  readonly hook: string | null;
  readonly policy: "accept" | "drop";
  readonly rules: readonly NftRule[];
}

/** A table of nftables, as far as its filter rules go. */
export interface NftTable {
  readonly family: "ip" | "ip6" | "inet";
  readonly name: string;
  readonly chains: readonly NftChain[];
}
