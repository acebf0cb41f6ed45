import { type Address, FAMILIES, type Family } from "../net/address.ts";
import { lastAddress, type Prefix } from "../net/prefix.ts";

/** An address with the one who has it. */
export interface HeldAddress<T> {
  readonly address: Address;
  readonly holder: T;
}

/** Which addresses lie in a network; each question costs a binary search. */
export function openAddressIndex<T>(addresses: readonly HeldAddress<T>[]): {
  /** The first two holders besides `except` of addresses in the network, with one address of each. */
  within(network: Prefix, except: T): readonly HeldAddress<T>[];
} {
  const sorted = new Map<Family, readonly HeldAddress<T>[]>(
    FAMILIES.map((family) => [
      family,
      addresses
        .filter(({ address }) => address.family === family)
        .sort((a, b) => (a.address.value < b.address.value ? -1 : a.address.value > b.address.value ? 1 : 0)),
    ]),
  );
  return {
    within: (network, except) => {
      const all = sorted.get(network.address.family) ?? [];
      const last = lastAddress(network).value;
      const found: HeldAddress<T>[] = [];
      for (let at = lowerBound(all, network.address.value); at < all.length && found.length < 2; at++) {
        const held = all[at];
        if (held === undefined || held.address.value > last) break;
        if (held.holder !== except && found[0]?.holder !== held.holder) found.push(held);
      }
      return found;
    },
  };
}

/** The place of the first address that is not below `value`. */
function lowerBound<T>(all: readonly HeldAddress<T>[], value: bigint): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((all[middle]?.address.value ?? value) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
