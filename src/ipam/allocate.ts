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

/** One address given to an attachment: with its subnet's length, and the gateway (another IPAM plugin may name none). */
export interface Allocation {
  readonly prefix: Prefix;
  readonly gateway: Address | null;
}

/** Why no address could be given; text in host-local's words. */
export class AllocationError extends Error {
  override readonly name = "AllocationError";
  constructor(
    message: string,
    /** True when waiting for a release can help. */
    readonly isExhausted: boolean,
    readonly hint = isExhausted
      ? "remove pods or stale reservations, or widen the range"
      : "ask for another address",
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
  /** Keeps what was derived, for the next call; a null bitmap is none, not an empty one. */
  keep(set: number, bitmap: Uint8Array | null, cursor: Address): void;
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
  const wishes = sets.map((set) =>
    requested.find((address) => set.some((range) => isInRange(range, address))),
  );
  refuseUnmet(sets, requested, wishes);
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

/** A request that no set holds, or the second one that falls into a set: nobody would notice that it was dropped. */
function refuseUnmet(
  sets: readonly RangeSet[],
  requested: readonly Address[],
  wishes: readonly (Address | undefined)[],
): void {
  const unmet = requested.filter(
    (address) => !wishes.some((wish) => wish !== undefined && isSameAddress(wish, address)),
  );
  if (unmet.length === 0) return;
  const known = sets.map(formatRangeSet).join(" and ");
  throw new AllocationError(
    `failed to allocate all requested IPs: ${unmet.map(formatAddress).join(" ")}`,
    false,
    `one address of each range set can be asked for: ${known}`,
  );
}

function takeRequested(set: RangeSet, index: number, wish: Address, ledger: Ledger): Allocation {
  const range = set.find((candidate) => isInRange(candidate, wish));
  if (range === undefined || isGatewayOf(set, wish)) {
    throw failed(index, `requested ip ${formatAddress(wish)} is subnet's gateway`, false);
  }
  if (!ledger.claim(wish)) {
    const message = `requested IP address ${formatAddress(wish)} is not available in range set ${formatRangeSet(set)}`;
    throw failed(index, message, false);
  }
  const bitmap = ledger.bitmap(index);
  const slot = slotOfAddress(set, wish);
  const isUsable = bitmap !== null && slot !== null && bitmap.length === bitmapBytes(slotsOfSet(set));
  // host-local goes on behind a requested address too.
  ledger.keep(index, isUsable ? withBit(bitmap, slot) : null, wish);
  return { prefix: { address: wish, length: range.subnet.length }, gateway: range.gateway };
}

/** host-local's words for a failure in one set. */
function failed(index: number, why: string, isExhausted: boolean): AllocationError {
  return new AllocationError(`failed to allocate for range ${index}: ${why}`, isExhausted);
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
  throw failed(index, `no IP addresses available in range set: ${formatRangeSet(set)}`, true);
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

/** The first set from which no address could be given now, in host-local's notation; null when all have room. */
export function findExhausted(
  sets: readonly RangeSet[],
  ledger: Ledger,
  createPool: PoolFactory,
): string | null {
  const full = sets.find((set, index) => {
    const pool = createPool(slotsOfSet(set));
    const kept = ledger.bitmap(index);
    if (kept !== null && kept.length === bitmapBytes(pool.capacity)) {
      pool.load(kept);
      if (pool.nextFree(-1) !== null) return false;
      // A full bitmap may only be out of date, as in takeNext.
      pool.load(new Uint8Array(bitmapBytes(pool.capacity)));
    }
    fillFromStore(set, pool, ledger);
    return pool.nextFree(-1) === null;
  });
  return full === undefined ? null : formatRangeSet(full);
}
