import { statSync, unlinkSync } from "node:fs";
import { bitmapBytes } from "../ipam/pool.ts";
import { addressOfSlot, type RangeSet, slotOfAddress, slotsOfSet } from "../ipam/range.ts";
import {
  addressOfFile,
  isFromAnotherBoot,
  type Owner,
  parseReservation,
  reservationFile,
} from "../ipam/reservation.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { unlessMissing } from "./files.ts";
import type { Host } from "./machine.ts";
import { mtimeOf, readPoolFile, withoutAddresses } from "./pool-file.ts";

/** One file of a store. */
export interface StoredReservation {
  readonly address: Address;
  readonly file: string;
  /** Null: it names nobody. */
  readonly owner: Owner | null;
  /** When it was written, milliseconds since 1970. */
  readonly sinceMs: number;
  readonly isOtherBoot: boolean;
}

/** All reservations of a store (`<dataDir>/<network>`), by address; nothing is locked or changed. Throws what the disk says. */
export function observeStore(host: Host, folder: string): StoredReservation[] {
  const storeBootId = host.readFile(`${folder}/.boot`);
  const bootId = host.bootId();
  const uptimeMs = Number.parseFloat(host.readFile("/proc/uptime") ?? "0") * 1000;
  const bootTimeMs = Date.now() - uptimeMs;
  const found = host.listFolder(folder).flatMap((name) => {
    const address = addressOfFile(name);
    if (address === null) return [];
    const file = `${folder}/${reservationFile(address)}`;
    const times = unlessMissing(() => statSync(file));
    const text = host.readFile(file);
    // Released meanwhile.
    if (times === null || text === null) return [];
    const isOtherBoot = isFromAnotherBoot({ storeBootId, bootId, changedMs: times.ctimeMs, bootTimeMs });
    return [{ address, file, owner: parseReservation(text), sinceMs: times.mtimeMs, isOtherBoot }];
  });
  return found.sort(
    (a, b) => a.address.family - b.address.family || (a.address.value < b.address.value ? -1 : 1),
  );
}

/** The address that was given last of a set; null when none was. */
export function observeCursor(host: Host, folder: string, set: number): Address | null {
  return parseAddress((host.readFile(`${folder}/last_reserved_ip.${set}`) ?? "").trim());
}

/** Where a kept bitmap differs from the files that it is derived from. */
export interface BitmapDifference {
  readonly file: string;
  /** Taken in the bitmap, free by the files. */
  readonly extra: readonly Address[];
  /** Free in the bitmap, taken by the files. */
  readonly missing: readonly Address[];
}

/** Compares the bitmap that the next ADD would go by; null: there is none, or it is out of date and would be made anew. */
export function compareBitmap(
  folder: string,
  index: number,
  set: RangeSet,
  reserved: readonly Address[],
): BitmapDifference | null {
  const kept = readPoolFile(folder, index, set, mtimeOf(folder));
  if (kept === null) return null;
  const derived = new Uint8Array(bitmapBytes(slotsOfSet(set)));
  for (const address of [...set.map(({ gateway }) => gateway), ...reserved]) {
    const slot = slotOfAddress(set, address);
    if (slot !== null) derived[slot >> 3] = (derived[slot >> 3] ?? 0) | (1 << (slot & 7));
  }
  const notIn = (a: Uint8Array, b: Uint8Array) =>
    slotsOnlyIn(a, b).flatMap((slot) => addressOfSlot(set, slot)?.address ?? []);
  return { file: `${folder}/.pool.${index}`, extra: notIn(kept, derived), missing: notIn(derived, kept) };
}

function slotsOnlyIn(a: Uint8Array, b: Uint8Array): number[] {
  const found: number[] = [];
  for (const [index, byte] of a.entries()) {
    const only = byte & ~(b[index] ?? 0);
    for (let bit = 0; only >> bit !== 0; bit++) if ((only >> bit) & 1) found.push(index * 8 + bit);
  }
  return found;
}

/** Longest wait for the store's lock, which is held for about a millisecond. */
const LOCK_TIMEOUT_MS = 30_000;

/** Removes a reservation that names nobody, unless somebody holds it by now; whether it did. */
export async function releaseTorn(host: Host, folder: string, address: Address): Promise<boolean> {
  const file = `${folder}/${reservationFile(address)}`;
  const isTorn = () => {
    const text = host.readFile(file);
    return text !== null && parseReservation(text) === null;
  };
  if (!isTorn()) return false;
  return await host.withLock(`${folder}/lock`, LOCK_TIMEOUT_MS, () => {
    const remove = () => {
      if (!isTorn()) return [];
      unlinkSync(file);
      return [address];
    };
    return withoutAddresses(folder, remove).length > 0;
  });
}
