import { type Address, formatAddress, isSameAddress } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { type AddressPool, bitmapBytes, type PoolFactory } from "./pool.ts";
import {
  addressOfSlot,
  formatRangeSet,
  isGatewayOf,
  isInRange,
  type RangeSet,
  slotOfAddress,
  slotsOfSet,
} from "./range.ts";

/** One address given to an attachment: with its subnet's length, and the gateway of its range. */
export interface Allocation {
  readonly prefix: Prefix;
  readonly gateway: Address;
}

/** Why no address could be given; text in host-local's words. */
export class AllocationError extends Error {
  override readonly name = "AllocationError";
  constructor(
    message: string,
    /** True when waiting for a release can help. */
    readonly isExhausted: boolean,
  ) {
    super(message);
  }
}

/** What allocation needs of the store; every call happens under the store's lock. */
export interface Ledger {
  /** The kept bitmap of a set, or null when there is none that can be trusted. */
  bitmap(set: number): Uint8Array | null;
  /** Every reserved address, read from the store itself. */
  reserved(): Iterable<Address>;
  /** The address given out last from this set; null at first. */
  cursor(set: number): Address | null;
  /** Makes the reservation ours, whole or not at all; false when somebody holds it. */
  claim(address: Address): boolean;
  /** Takes a claim of this call back. */
  release(address: Address): void;
  /** Keeps what was derived, for the next call. */
  keep(set: number, bitmap: Uint8Array, cursor: Address | null): void;
}

/**
 * Takes one address of each set: a requested one where a set holds it, else the next free one behind the cursor
 * (next-fit: a released address rests as long as possible, cni#194). All or nothing: on failure every claim of this
 * call is released. Throws {@link AllocationError}.
 */
export function allocate(
  sets: readonly RangeSet[],
  requested: readonly Address[],
  ledger: Ledger,
  createPool: PoolFactory,
): Allocation[] {
  const stray = requested.find(
    (address) => !sets.some((set) => set.some((range) => isInRange(range, address))),
  );
  if (stray !== undefined) {
    const known = sets.map(formatRangeSet).join(" and ");
    throw new AllocationError(
      `requested IP address ${formatAddress(stray)} is not in any range set: ${known}`,
      false,
    );
  }
  const wishes = sets.map((set) =>
    requested.find((address) => set.some((range) => isInRange(range, address))),
  );
  const unmet = requested.find(
    (address) => !wishes.some((wish) => wish !== undefined && isSameAddress(wish, address)),
  );
  if (unmet !== undefined) {
    throw new AllocationError(
      `failed to allocate all requested IPs: ${formatAddress(unmet)} is the second one of its range set`,
      false,
    );
  }
  const claimed: Address[] = [];
  // Noted at the claim itself: what follows it (keeping the cursor on a full disk) may throw as well.
  const noting: Ledger = {
    ...ledger,
    claim: (address) => {
      const isClaimed = ledger.claim(address);
      if (isClaimed) claimed.push(address);
      return isClaimed;
    },
  };
  try {
    return sets.map((set, index) => {
      const wish = wishes[index];
      return wish === undefined
        ? takeNext(set, index, noting, createPool)
        : takeRequested(set, index, wish, noting);
    });
  } catch (error) {
    for (const address of claimed) ledger.release(address);
    throw error;
  }
}

function takeRequested(set: RangeSet, index: number, wish: Address, ledger: Ledger): Allocation {
  const range = set.find((candidate) => isInRange(candidate, wish));
  if (range === undefined || isGatewayOf(set, wish)) {
    throw new AllocationError(`requested ip ${formatAddress(wish)} is subnet's gateway`, false);
  }
  if (!ledger.claim(wish)) {
    throw new AllocationError(
      `requested IP address ${formatAddress(wish)} is not available in range set ${formatRangeSet(set)}`,
      false,
    );
  }
  const bitmap = ledger.bitmap(index);
  const slot = slotOfAddress(set, wish);
  if (bitmap !== null && slot !== null && bitmap.length === bitmapBytes(slotsOfSet(set))) {
    ledger.keep(index, withBit(bitmap, slot), null);
  }
  return { prefix: { address: wish, length: range.subnet.length }, gateway: range.gateway };
}

function withBit(bitmap: Uint8Array, slot: number): Uint8Array {
  const changed = bitmap.slice();
  changed[slot >> 3] = (changed[slot >> 3] ?? 0) | (1 << (slot & 7));
  return changed;
}

function takeNext(set: RangeSet, index: number, ledger: Ledger, createPool: PoolFactory): Allocation {
  const pool = createPool(slotsOfSet(set));
  const kept = ledger.bitmap(index);
  const isKept = kept !== null && kept.length === bitmapBytes(pool.capacity);
  if (isKept) pool.load(kept);
  else fillFromStore(set, pool, ledger);
  const taken = search(set, index, pool, ledger);
  if (taken !== null) return taken;
  // A full bitmap may only be out of date: whoever removed a file by hand did not tell it.
  if (isKept) {
    pool.load(new Uint8Array(bitmapBytes(pool.capacity)));
    fillFromStore(set, pool, ledger);
    const second = search(set, index, pool, ledger);
    if (second !== null) return second;
  }
  throw new AllocationError(`no IP addresses available in range set: ${formatRangeSet(set)}`, true);
}

/** Gateways are used slots without a reservation: nobody may get them. */
function fillFromStore(set: RangeSet, pool: AddressPool, ledger: Ledger): void {
  const mark = (address: Address) => {
    const slot = slotOfAddress(set, address);
    if (slot !== null) pool.claim(slot);
  };
  for (const range of set) mark(range.gateway);
  for (const address of ledger.reserved()) mark(address);
}

function search(set: RangeSet, index: number, pool: AddressPool, ledger: Ledger): Allocation | null {
  const last = ledger.cursor(index);
  let slot = pool.nextFree(last === null ? -1 : (slotOfAddress(set, last) ?? -1));
  while (slot !== null) {
    pool.claim(slot);
    const place = addressOfSlot(set, slot);
    if (place !== null && !isGatewayOf(set, place.address)) {
      if (ledger.claim(place.address)) {
        ledger.keep(index, pool.bytes(), place.address);
        return {
          prefix: { address: place.address, length: place.range.subnet.length },
          gateway: place.range.gateway,
        };
      }
    }
    slot = pool.nextFree(slot);
  }
  return null;
}
