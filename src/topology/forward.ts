import type { Family } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";

/** Our chain in the filter table; FORWARD jumps to it from position 1 (DESIGN §5 "Ownership"). */
export const FORWARD_CHAIN = "MINICNI-FORWARD";
const JUMP = `-A FORWARD -j ${FORWARD_CHAIN}`;

/** Desired rules: accept what goes from or to a pod CIDR of the cluster (FORWARD may drop: Docker sets that). */
export function forwardRules(cidrs: readonly Prefix[]): string[] {
  return cidrs
    .map(formatPrefix)
    .flatMap((cidr) => [
      `-A ${FORWARD_CHAIN} -s ${cidr} -j ACCEPT`,
      `-A ${FORWARD_CHAIN} -d ${cidr} -j ACCEPT`,
    ]);
}

/**
 * Input for `iptables-restore --noflush` that turns the observed filter table (`iptables-save -t filter`) into the
 * desired one; null when nothing has to change. The chain is replaced as a whole; the jump is moved to position 1,
 * and every other copy of it goes. Foreign rules are not named, so they stay.
 */
export function restoreForward(family: Family, cidrs: readonly Prefix[], observed: string): string[] | null {
  const lines = observed.split("\n").map((line) => line.trim());
  const ours = lines.filter((line) => line.startsWith(`-A ${FORWARD_CHAIN} `));
  const forward = lines.filter((line) => line.startsWith("-A FORWARD "));
  const jumps = forward.filter((line) => line === JUMP).length;
  const desired = forwardRules(cidrs);
  const isPlaced = forward[0] === JUMP && jumps === 1;
  const isSame = ours.length === desired.length && desired.every((rule, index) => ours[index] === rule);
  if (isPlaced && isSame) return null;
  if (cidrs.some(({ address }) => address.family !== family))
    throw new RangeError("a pod CIDR of the other family");
  const moves = isPlaced
    ? []
    : [
        ...new Array<string>(jumps).fill(`-D FORWARD -j ${FORWARD_CHAIN}`),
        `-I FORWARD 1 -j ${FORWARD_CHAIN}`,
      ];
  return ["*filter", `:${FORWARD_CHAIN} - [0:0]`, ...desired, ...moves, "COMMIT"];
}
