import type { RangeSet } from "../ipam/range.ts";
import type { Family } from "../net/address.ts";
import { hashHex } from "../net/hash.ts";
import { formatPrefix, isSamePrefix, type Prefix } from "../net/prefix.ts";
import { HOST, type Plan } from "../plan/step.ts";

/** The chain of a network: our mark and 32 bits of its name's hash (an iptables chain name has 28 characters). */
export function masqueradeChain(network: string): string {
  return `MINICNI-MASQ-${hashHex(network).slice(0, 8)}`;
}

/** The distinct subnets of one family. */
export function subnetsOf(sets: readonly RangeSet[], family: Family): Prefix[] {
  const found: Prefix[] = [];
  for (const { subnet } of sets.flat()) {
    if (subnet.address.family === family && !found.some((known) => isSamePrefix(known, subnet)))
      found.push(subnet);
  }
  return found;
}

/** Words of the one jump into the chain, behind `-A`, `-C`, `-I` or `-D`. */
export function masqueradeJump(network: string): string[] {
  return ["POSTROUTING", "-m", "comment", "--comment", `minicni:${network}`, "-j", masqueradeChain(network)];
}

/**
 * Masquerade for a whole network, static: no chain per pod (the reference plugin makes one each, nine iptables runs).
 * Traffic between the network's own subnets and to multicast keeps its source. `--random-fully`: SNAT port races
 * (ip-masq-agent#51). With `withJump` the jump goes to position 1 of POSTROUTING.
 */
export function planMasquerade(
  network: string,
  sets: readonly RangeSet[],
  family: Family,
  withJump: boolean,
): Plan {
  const chain = masqueradeChain(network);
  const subnets = subnetsOf(sets, family).map(formatPrefix);
  const multicast = family === 4 ? "224.0.0.0/4" : "ff00::/8";
  const lines = [
    "*nat",
    `:${chain} - [0:0]`,
    ...subnets.map((subnet) => `-A ${chain} -d ${subnet} -j RETURN`),
    `-A ${chain} -d ${multicast} -j RETURN`,
    ...subnets.map((subnet) => `-A ${chain} -s ${subnet} -j MASQUERADE --random-fully`),
    ...(withJump ? [`-I POSTROUTING 1 ${masqueradeJump(network).slice(1).join(" ")}`] : []),
    "COMMIT",
  ];
  return [
    { op: "rules.restore", netns: HOST, family, lines, why: `masquerade what leaves network ${network}` },
  ];
}

/** The plan that removes chain and jump of a network. */
export function planUnmasquerade(network: string, family: Family): Plan {
  const chain = masqueradeChain(network);
  const lines = [
    "*nat",
    `:${chain} - [0:0]`,
    `-D ${masqueradeJump(network).join(" ")}`,
    `-X ${chain}`,
    "COMMIT",
  ];
  return [
    { op: "rules.restore", netns: HOST, family, lines, why: `network ${network} has no attachment left` },
  ];
}
