import { FAMILIES } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import type { NftTable } from "../plan/ruleset.ts";
import { covers, type Drop, type Flow, findDrop } from "./forward-walk.ts";

/** Which pods are to reach each other. */
export interface PodTraffic {
  /** Of this node. */
  readonly podCidrs: readonly Prefix[];
  /** Of the whole cluster. */
  readonly clusterCidrs: readonly Prefix[];
  /** The bridge that this node's pods hang on. */
  readonly bridge: string;
}

/** What a table takes from pods. */
export interface ForwardBlock {
  /** The base chain. */
  readonly chain: string;
  /** Where the packets of the first such way end. */
  readonly drop: Drop;
  /** At least one. */
  readonly ways: readonly Pick<Flow, "family" | "direction">[];
}

/** More of them are no help to a reader. */
const MOST_CIDRS = 4;

/**
 * Whether a foreign table of nftables cuts off what pods of different nodes send each other; null: it does not. A packet
 * passes every base chain of the forward hook, so that our ACCEPT counts in none but our own (nft(8), "accept …
 * evaluation continues in later base chains"). Found only when a packet can end in nothing but a drop, whatever a
 * condition that is not understood says: marks, ports, limits, named sets.
 */
export function findForwardBlock(table: NftTable, traffic: PodTraffic): ForwardBlock | null {
  const found = table.chains
    .filter(({ hook }) => hook === "forward")
    .flatMap((chain) =>
      flowsOf(table, traffic).flatMap((flow) => {
        const drop = findDrop(table, chain, flow);
        return drop === null ? [] : [{ chain: chain.name, drop, flow }];
      }),
    );
  const [first] = found;
  if (first === undefined) return null;
  return { chain: first.chain, drop: first.drop, ways: found.map(({ flow }) => flow) };
}

/** What {@link findForwardBlock} finds with the way out: one text, or null. */
export function describeForwardBlock(table: NftTable, traffic: PodTraffic): string | null {
  const block = findForwardBlock(table, traffic);
  if (block === null) return null;
  const { chain, drop } = block;
  const where = `chain ${chain} of nftables table ${table.family} ${table.name}`;
  const end = `${drop.chain}: ${drop.text}${drop.handle === null ? "" : `, handle ${drop.handle}`}`;
  return `${where} drops ${describeWays(block)}, whatever other tables accept (${end}): ${wayOut(table, chain, traffic)}`;
}

/** Whose packets are dropped, with the families: `what pods here send to pods of other nodes (IPv4)`. */
export function describeWays({ ways }: Pick<ForwardBlock, "ways">): string {
  const told = DIRECTIONS.flatMap(([direction, words]) => {
    const families = new Set(ways.flatMap((way) => (way.direction === direction ? [way.family] : [])));
    return families.size === 0
      ? []
      : [`${words} (${[...families].map((family) => `IPv${family}`).join(", ")})`];
  });
  return told.join(" and ");
}

const DIRECTIONS = [
  ["out", "what pods here send to pods of other nodes"],
  ["in", "what pods of other nodes send to pods here"],
] as const;

function wayOut({ name, family }: NftTable, chain: string, traffic: PodTraffic): string {
  if (name === "firewalld") return `\`${adviseFirewalld(traffic).join("; ")}\``;
  return `let ${chain} (\`nft -a list chain ${family} ${name} ${chain}\`) accept from and to ${someCidrs(traffic).join(", ")}, or stop the program that made it`;
}

/** The cluster's pod CIDRs for a command; a placeholder where there are many. */
export function someCidrs({ clusterCidrs }: PodTraffic): string[] {
  const all = clusterCidrs.map(formatPrefix);
  return all.length > MOST_CIDRS ? ["<each pod CIDR, or the range they are from>"] : all;
}

/** The commands by which firewalld lets pods through. */
export function adviseFirewalld(traffic: PodTraffic): string[] {
  return [
    ...someCidrs(traffic).map((cidr) => `firewall-cmd --permanent --zone=trusted --add-source=${cidr}`),
    `firewall-cmd --permanent --zone=trusted --add-interface=${traffic.bridge}`,
    "firewall-cmd --reload",
  ];
}

function flowsOf({ family: tableFamily }: NftTable, { podCidrs, clusterCidrs, bridge }: PodTraffic): Flow[] {
  return FAMILIES.filter(
    (family) => tableFamily === "inet" || tableFamily === (family === 4 ? "ip" : "ip6"),
  ).flatMap((family): Flow[] => {
    const isOf = ({ address }: Prefix) => address.family === family;
    const [own, cluster] = [podCidrs.filter(isOf), clusterCidrs.filter(isOf)];
    // Of one node alone there is nobody to reach.
    const hasPeers = cluster.some((cidr) => !own.some((mine) => covers(mine, cidr)));
    if (own.length === 0 || !hasPeers) return [];
    return [
      { family, direction: "out", iifname: bridge, oifname: null, saddr: own, daddr: cluster },
      { family, direction: "in", iifname: null, oifname: bridge, saddr: cluster, daddr: own },
    ];
  });
}
