import type { IpamSet } from "../../../doctor/sections/ipam.ts";
import { compareBitmap, observeCursor } from "../../../host/ipam-store.ts";
import type { Host } from "../../../host/machine.ts";
import {
  addressOfSlot,
  formatRangeSet,
  isInRange,
  type RangeSet,
  slotOfAddress,
  slotsOfSet,
} from "../../../ipam/range.ts";
import { type Address, formatAddress } from "../../../net/address.ts";
import { formatPrefix } from "../../../net/prefix.ts";

/** How full the range sets of a store are, and what it keeps beside the reservations. */
export function observeSets(
  sets: readonly RangeSet[],
  store: string,
  reserved: readonly Address[],
  host: Host,
): IpamSet[] {
  return sets.map((set, index) => {
    const cursor = observeCursor(host, store, index);
    const taken = takenSlots(set, reserved);
    const next = nextSlot(set, cursor, taken);
    const bitmap = compareBitmap(store, index, set, reserved);
    return {
      text: formatRangeSet(set),
      ranges: set.map(({ subnet, start, end, gateway }) => ({
        subnet: formatPrefix(subnet),
        first: formatAddress(start),
        last: formatAddress(end),
        gateway: formatAddress(gateway),
      })),
      cursor: cursor && formatAddress(cursor),
      next: next === null ? null : textOfSlot(set, next),
      held: reserved.filter((address) => set.some((range) => isInRange(range, address))).length,
      reserved: new Set(set.flatMap(({ gateway }) => slotOfAddress(set, gateway) ?? [])).size,
      free: slotsOfSet(set) - taken.size,
      bitmap: bitmap && {
        file: bitmap.file,
        extra: bitmap.extra.map(formatAddress),
        missing: bitmap.missing.map(formatAddress),
      },
    };
  });
}

function takenSlots(set: RangeSet, reserved: readonly Address[]): ReadonlySet<number> {
  const gateways = set.map(({ gateway }) => gateway);
  return new Set([...gateways, ...reserved].flatMap((address) => slotOfAddress(set, address) ?? []));
}

/** As ipam/allocate.ts searches: behind the cursor first, and round; null when all are taken. */
function nextSlot(set: RangeSet, cursor: Address | null, taken: ReadonlySet<number>): number | null {
  const slots = slotsOfSet(set);
  const last = cursor === null ? -1 : (slotOfAddress(set, cursor) ?? -1);
  for (let step = 1; step <= slots; step++) {
    const slot = (last + step + slots) % slots;
    if (!taken.has(slot)) return slot;
  }
  return null;
}

function textOfSlot(set: RangeSet, slot: number): string | null {
  const place = addressOfSlot(set, slot);
  return place && formatAddress(place.address);
}
