import { type Address, type Family, formatAddress } from "../net/address.ts";
import type { ClusterNode } from "../net/node.ts";
import { formatPrefix, lastAddress, type Prefix } from "../net/prefix.ts";

/** A Node as far as it counts here: also one that is left out still answers at its addresses. */
interface Machine {
  readonly name: string;
  readonly node: ClusterNode | null;
  readonly addresses: readonly Address[];
}

/** Who is wrong where a pod CIDR holds another Node's InternalIP. */
export interface Covers<T> {
  /** Nodes whose pod CIDR is wrong, and why. */
  readonly wrong: ReadonlyMap<T, string>;
  /** Nodes whose InternalIP is wrong as long as the older Node `holder` is not left out. */
  readonly held: ReadonlyMap<T, { readonly holder: T; readonly message: string }[]>;
}

interface Place<T> {
  readonly value: bigint;
  readonly rank: number;
  readonly machine: T;
  readonly address: Address;
}

/**
 * A pod CIDR is wrong when it holds an InternalIP of an older Node or of two or more other Nodes, because a route to it
 * would cut the network of the nodes; when it holds those of one younger Node only, that younger Node is wrong.
 *
 * `machines` come oldest first. O(n log n): the addresses sorted, and one binary search for each pod CIDR.
 */
export function findCovers<T extends Machine>(machines: readonly T[]): Covers<T> {
  const places: Record<Family, Place<T>[]> = { 4: [], 6: [] };
  for (const [rank, machine] of machines.entries()) {
    for (const address of machine.addresses) {
      places[address.family].push({ value: address.value, rank, machine, address });
    }
  }
  for (const family of [places[4], places[6]]) {
    family.sort((a, b) => (a.value === b.value ? a.rank - b.rank : a.value < b.value ? -1 : 1));
  }
  const wrong = new Map<T, string>();
  const held = new Map<T, { holder: T; message: string }[]>();
  for (const [rank, machine] of machines.entries()) {
    for (const cidr of machine.node?.podCidrs ?? []) {
      const found = findIn(places[cidr.address.family], cidr, machine.name, rank);
      if (found === null) continue;
      const address = formatAddress(found.place.address);
      const other = found.place.machine;
      if (found.isWrong) {
        const message = `has a pod CIDR that holds the InternalIP ${address} of node ${other.name}: ${formatPrefix(cidr)}`;
        if (!wrong.has(machine)) wrong.set(machine, message);
        continue;
      }
      const message = `has its InternalIP ${address} inside the pod CIDR ${formatPrefix(cidr)} of node ${machine.name}`;
      const known = held.get(other);
      if (known === undefined) held.set(other, [{ holder: machine, message }]);
      else known.push({ holder: machine, message });
    }
  }
  return { wrong, held };
}

/** The first address of another Node in the network, and whether the network is what is wrong. */
function findIn<T extends Machine>(
  places: readonly Place<T>[],
  cidr: Prefix,
  name: string,
  rank: number,
): { readonly place: Place<T>; readonly isWrong: boolean } | null {
  const last = lastAddress(cidr).value;
  let first: Place<T> | null = null;
  for (let index = lowerBound(places, cidr.address.value); ; index++) {
    const place = places[index];
    if (place === undefined || place.value > last) break;
    if (place.machine.name === name) continue;
    if (place.rank < rank) return { place, isWrong: true };
    first ??= place;
    if (first.machine.name !== place.machine.name) return { place: first, isWrong: true };
  }
  return first === null ? null : { place: first, isWrong: false };
}

function lowerBound(places: readonly { readonly value: bigint }[], value: bigint): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = places[middle];
    if (at !== undefined && at.value < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
