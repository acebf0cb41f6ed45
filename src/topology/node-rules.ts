import type { Address, Family } from "../net/address.ts";
import { mergePrefixes } from "../net/merge.ts";
import { formatPrefix, hostPrefix, type Prefix } from "../net/prefix.ts";
import { MULTICAST } from "./masquerade.ts";

/** What the iptables rules of a node depend on; both families in one. */
export interface NodeRulesWish {
  /** Self's pod CIDRs. Empty: not known yet, and all rules are left as they are. */
  readonly podCidrs: readonly Prefix[];
  /** Those of the whole cluster, merged. */
  readonly clusterCidrs: readonly Prefix[];
  /** Node addresses, self's included, at which a pod's own source can be answered. */
  readonly nodeAddresses: readonly Address[];
  /** Further destinations that see the pod's own address. */
  readonly nonMasqueradeCidrs: readonly Prefix[];
  readonly masquerade: boolean;
  /** Whether what pods send to node addresses is masqueraded as well. */
  readonly masqueradeNodes: boolean;
  /** Source ports chosen at random: two SNATs at once may pick one port otherwise (ip-masq-agent#51). */
  readonly randomFully: boolean;
}

/** A chain of ours, and the built-in chain that leads to it. */
export interface NodeChain {
  readonly table: "filter" | "nat";
  readonly chain: string;
  readonly base: "FORWARD" | "POSTROUTING";
}

export const FORWARD_CHAIN = "MINICNI-FORWARD";
export const POSTROUTING_CHAIN = "MINICNI-POSTROUTING";
/** All chains of the agent; those of the plugin (`MINICNI-MASQ-…`) belong to a network, not to the node. */
export const NODE_CHAINS: readonly NodeChain[] = [
  { table: "filter", chain: FORWARD_CHAIN, base: "FORWARD" },
  { table: "nat", chain: POSTROUTING_CHAIN, base: "POSTROUTING" },
];

/** Rules as `iptables -S` prints them; `rules` null: neither the chain nor a jump to it. */
export interface DesiredChain extends NodeChain {
  readonly rules: readonly string[] | null;
}

/**
 * kube-proxy marks what it masquerades itself (`--iptables-masquerade-bit` 14); caught by us first it would be
 * translated a second time (flannel#1679, flannel PR#1681).
 */
const LET_KUBE_PROXY = "-m mark --mark 0x4000/0x4000 -j RETURN";

/**
 * The chains of one family. A family in which self has no pod CIDR needs none; as long as no pod CIDR is known at all
 * (null), nothing may be said: a Node object that is being made anew must not cost running pods their way out.
 */
export function describeNodeRules(wish: NodeRulesWish, family: Family): readonly DesiredChain[] | null {
  if (wish.podCidrs.length === 0) return null;
  const own = ofFamily(wish.podCidrs, family);
  const rulesOf = ({ table }: NodeChain) => {
    if (own.length === 0) return null;
    if (table === "filter") return forwardRules(own, ofFamily(wish.clusterCidrs, family));
    return wish.masquerade ? postroutingRules(wish, own, family) : null;
  };
  return NODE_CHAINS.map((known) => {
    const rules = rulesOf(known);
    return { ...known, rules: rules === null ? null : rules.map((rule) => `-A ${known.chain} ${rule}`) };
  });
}

function ofFamily(prefixes: readonly Prefix[], family: Family): Prefix[] {
  return mergePrefixes(prefixes.filter(({ address }) => address.family === family));
}

/**
 * Own pods first: nearly all traffic. The other CIDRs because what comes in for a NodePort may go on to a pod of
 * another node, and because pods answer through here.
 */
function forwardRules(own: readonly Prefix[], cluster: readonly Prefix[]): string[] {
  const known = new Set(own.map(formatPrefix));
  return [...own, ...cluster.filter((prefix) => !known.has(formatPrefix(prefix)))].flatMap((prefix) => [
    `${match("-s", prefix)}-j ACCEPT`,
    `${match("-d", prefix)}-j ACCEPT`,
  ]);
}

/**
 * Link-local destinations (a cloud's metadata server at 169.254.169.254) are masqueraded, since they know no way back
 * to a pod; 127/8 is never routed (RFC 1122 §3.2.1.3).
 */
function postroutingRules(wish: NodeRulesWish, own: readonly Prefix[], family: Family): string[] {
  const nodes = wish.masqueradeNodes ? [] : wish.nodeAddresses.map(hostPrefix);
  const spared = ofFamily(
    [...own, ...wish.clusterCidrs, ...wish.nonMasqueradeCidrs, ...MULTICAST, ...nodes],
    family,
  );
  const [only, second] = own;
  // What is not from a pod is spared the walk through thousands of node addresses.
  const foreign =
    only === undefined || second !== undefined || only.length === 0
      ? []
      : [`! -s ${formatPrefix(only)} -j RETURN`];
  const target = wish.randomFully ? "MASQUERADE --random-fully" : "MASQUERADE";
  return [
    LET_KUBE_PROXY,
    ...foreign,
    ...spared.map((prefix) => `${match("-d", prefix)}-j RETURN`),
    ...own.map((prefix) => `${match("-s", prefix)}-j ${target}`),
  ];
}

/** A match on everything is printed as no match at all. */
function match(side: "-s" | "-d", prefix: Prefix): string {
  return prefix.length === 0 ? "" : `${side} ${formatPrefix(prefix)} `;
}
