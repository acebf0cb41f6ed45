import { addressBits } from "./address.ts";
import { networkOf, type Prefix } from "./prefix.ts";

/**
 * The fewest prefixes that hold exactly the addresses of the given ones, sorted: IPv4 first, then by address. Host
 * bits are ignored. O(n log n): in this order a prefix is either inside the last one kept or behind it, so that one
 * look back finds both what is held already and the two halves of a wider prefix.
 */
export function mergePrefixes(prefixes: readonly Prefix[]): Prefix[] {
  const kept: Prefix[] = [];
  for (const prefix of prefixes.map(networkOf).sort(compare)) {
    const last = kept.at(-1);
    if (last !== undefined && holds(last, prefix)) continue;
    let whole = prefix;
    for (let left = kept.at(-1); left !== undefined && areHalves(left, whole); left = kept.at(-1)) {
      kept.pop();
      whole = { address: left.address, length: left.length - 1 };
    }
    kept.push(whole);
  }
  return kept;
}

/** Of two that begin alike the wider one comes first. */
function compare(a: Prefix, b: Prefix): number {
  if (a.address.family !== b.address.family) return a.address.family - b.address.family;
  if (a.address.value !== b.address.value) return a.address.value < b.address.value ? -1 : 1;
  return a.length - b.length;
}

function holds(wide: Prefix, { address }: Prefix): boolean {
  const bits = BigInt(addressBits(wide.address.family) - wide.length);
  return wide.address.family === address.family && wide.address.value >> bits === address.value >> bits;
}

/** Whether both together, the left one before, are one prefix that is a bit shorter. */
function areHalves(left: Prefix, right: Prefix): boolean {
  if (left.length !== right.length || left.address.family !== right.address.family) return false;
  const bit = 1n << BigInt(addressBits(left.address.family) - left.length);
  return (left.address.value ^ right.address.value) === bit;
}
