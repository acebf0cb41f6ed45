import { linkSync, readFileSync, rmSync, statSync, unlinkSync } from "node:fs";
import { AllocationError, type Ledger } from "../ipam/allocate.ts";
import type { RangeSet } from "../ipam/range.ts";
import {
  type AttachmentKey,
  addressOfFile,
  formatReservation,
  isFromAnotherBoot,
  isHeldBy,
  type Owner,
  parseReservation,
  reservationFile,
} from "../ipam/reservation.ts";
import { type Address, formatAddress, parseAddress } from "../net/address.ts";
import { errnoOf } from "./errors.ts";
import { writeNamed } from "./files.ts";
import type { Host } from "./machine.ts";
import { mtimeOf, readPoolFile, withoutAddresses, writePoolFile } from "./pool-file.ts";

/** Longest wait for the store's lock; it is held for about a millisecond, so this only ends a hang. */
const LOCK_TIMEOUT_MS = 30_000;

/** The reservations of one network. */
export interface ReservationStore {
  /** Runs `work` on a ledger for this attachment, alone among all processes. Throws BusyError, or what the disk says. */
  transact<T>(key: AttachmentKey, sets: readonly RangeSet[], work: (ledger: Ledger) => T): Promise<T>;
  /** Addresses held by an attachment: those of `known` that are, or (null) found by reading every file. */
  find(key: AttachmentKey, known: readonly Address[] | null): Address[];
  /** Releases what {@link ReservationStore.find} finds; returns it. No error when there is nothing. */
  release(key: AttachmentKey, known: readonly Address[] | null): Promise<readonly Address[]>;
  /**
   * Frees every reservation whose owner is not kept, those that name no owner and those of another boot; returns
   * them. No call may be under way.
   */
  collect(isKept: (owner: Owner, address: Address) => boolean): Promise<readonly Address[]>;
  /** A ledger that sees what is reserved and keeps nothing: for a plan that is only printed, and for STATUS. */
  peek(sets: readonly RangeSet[]): Ledger;
}

/**
 * The store of host-local: `<dataDir>/<network>/<address>`. A reservation file is written under another name and
 * linked into place, so that it appears whole or not at all, and link(2) refuses a name that exists, whoever made it.
 */
export function createReservationStore(host: Host, dataDir: string, network: string): ReservationStore {
  const folder = `${dataDir}/${network}`;
  const locked = <T>(work: () => T) => host.withLock(`${folder}/lock`, LOCK_TIMEOUT_MS, work);
  const find = (key: AttachmentKey, known: readonly Address[] | null) =>
    (known ?? reservedAddresses(host, folder)).filter((address) => {
      const owner = parseReservation(host.readFile(`${folder}/${reservationFile(address)}`) ?? "");
      return owner !== null && isHeldBy(owner, key);
    });
  return {
    transact: (key, sets, work) =>
      locked(() => {
        sweepOtherBoots(host, folder);
        const { ledger, flush } = openLedger(host, folder, key, sets);
        const result = retryOnceSwept(host, folder, () => work(ledger));
        flush();
        return result;
      }),
    find,
    release: async (key, known) => {
      // Looked for without the lock first: a second DEL, or one on a read-only disk, has nothing to write.
      if (find(key, known).length === 0) return [];
      return locked(() => {
        rmSync(`${folder}/.claim`, { force: true });
        return withoutAddresses(folder, () => {
          const mine = find(key, known);
          for (const address of mine) unlinkSync(`${folder}/${reservationFile(address)}`);
          return mine;
        });
      });
    },
    collect: async (isKept) => {
      // Nothing to write where nothing is: a network without a store must not get one from its GC.
      if (reservedAddresses(host, folder).length === 0) return [];
      return locked(() => {
        const before = reservedAddresses(host, folder);
        sweepOtherBoots(host, folder);
        rmSync(`${folder}/.claim`, { force: true });
        withoutAddresses(folder, () => {
          const dead = reservedAddresses(host, folder).filter((address) => {
            const owner = parseReservation(host.readFile(`${folder}/${reservationFile(address)}`) ?? "");
            return owner === null || !isKept(owner, address);
          });
          for (const address of dead) unlinkSync(`${folder}/${reservationFile(address)}`);
          return dead;
        });
        const after = new Set(reservedAddresses(host, folder).map(formatAddress));
        return before.filter((address) => !after.has(formatAddress(address)));
      });
    },
    peek: (sets) => ({
      bitmap: (set) => readPoolFile(folder, set, sets[set] ?? [], mtimeOf(folder)),
      reserved: () => reservedAddresses(host, folder),
      cursor: (set) => readCursor(host, folder, set),
      claim: (address) => host.readFile(`${folder}/${reservationFile(address)}`) === null,
      release: () => undefined,
      keep: () => undefined,
    }),
  };
}

function reservedAddresses(host: Host, folder: string): Address[] {
  return host.listFolder(folder).flatMap((name) => addressOfFile(name) ?? []);
}

/** A range that is full gets a second try when torn reservations were in it. */
function retryOnceSwept<T>(host: Host, folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const isFull = error instanceof AllocationError && error.isExhausted;
    if (!isFull || sweepTorn(host, folder) === 0) throw error;
    return work();
  }
}

function readCursor(host: Host, folder: string, set: number): Address | null {
  return parseAddress((host.readFile(`${folder}/last_reserved_ip.${set}`) ?? "").trim());
}

/**
 * Bitmaps hold for the folder as it was when the ledger was opened, and are written by `flush` when all claims are
 * made: each claim changes the folder, so that one set's would make the bitmap of the set before it worthless.
 */
function openLedger(
  host: Host,
  folder: string,
  key: AttachmentKey,
  sets: readonly RangeSet[],
): { ledger: Ledger; flush: () => void } {
  const opened = mtimeOf(folder);
  const kept = new Map<number, Uint8Array>();
  const flush = () => {
    for (const [set, bitmap] of kept) writePoolFile(folder, set, sets[set] ?? [], bitmap);
  };
  const ledger: Ledger = {
    bitmap: (set) => readPoolFile(folder, set, sets[set] ?? [], opened),
    reserved: () => reservedAddresses(host, folder),
    cursor: (set) => readCursor(host, folder, set),
    claim: (address) => claim(host, folder, key, address),
    release: (address) => rmSync(`${folder}/${reservationFile(address)}`, { force: true }),
    keep: (set, bitmap, cursor) => {
      // host-local's own cursor file. In place: a torn cursor only means that the search starts elsewhere.
      writeNamed(`${folder}/last_reserved_ip.${set}`, formatAddress(cursor));
      if (bitmap !== null) kept.set(set, bitmap);
    },
  };
  return { ledger, flush };
}

function claim(host: Host, folder: string, key: AttachmentKey, address: Address): boolean {
  const target = `${folder}/${reservationFile(address)}`;
  const temporary = `${folder}/.claim`;
  // A process that died between link and unlink left a second name of a live reservation: never write through it.
  rmSync(temporary, { force: true });
  writeNamed(temporary, formatReservation(key));
  try {
    linkSync(temporary, target);
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    if (parseReservation(readFileSync(target, "utf8")) !== null) return false;
    // Under the lock nobody is half way through writing it: it names no owner and never will.
    host.log(`${target} names no owner (a torn write): taken as free`);
    rmSync(target, { force: true });
    linkSync(temporary, target);
    return true;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Only when a range is full, since it looks at every file. Under the lock nobody is half way through writing one. */
function sweepTorn(host: Host, folder: string): number {
  const torn = reservedAddresses(host, folder)
    .map((address) => `${folder}/${reservationFile(address)}`)
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.size === 0);
  for (const path of torn) rmSync(path, { force: true });
  if (torn.length > 0)
    host.log(`${folder}: freed ${torn.length} reservations that name no owner (torn writes)`);
  return torn.length;
}

/** At the first call after a reboot: removes the reservations of namespaces that went with the last boot. */
function sweepOtherBoots(host: Host, folder: string): void {
  const marker = `${folder}/.boot`;
  const bootId = host.bootId();
  const storeBootId = host.readFile(marker);
  if (storeBootId === bootId) return;
  const uptimeMs = Number.parseFloat(host.readFile("/proc/uptime") ?? "0") * 1000;
  const bootTimeMs = Date.now() - uptimeMs;
  let freed = 0;
  for (const address of storeBootId === null ? [] : reservedAddresses(host, folder)) {
    const path = `${folder}/${reservationFile(address)}`;
    const changedMs = statSync(path).ctimeMs;
    if (!isFromAnotherBoot({ storeBootId, bootId, changedMs, bootTimeMs })) continue;
    rmSync(path, { force: true });
    freed++;
  }
  if (freed > 0) host.log(`${folder}: freed ${freed} reservations from before the last reboot`);
  writeNamed(marker, bootId);
}
