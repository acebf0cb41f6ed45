import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { formatReservation } from "../../../ipam/reservation.ts";
import { type Address, addOffset, formatAddress, parseAddress } from "../../../net/address.ts";
import { chooseScattered, usedOf } from "./fullness.ts";

/** Names of one file: ext4 allows 65,000 links of an inode (EXT4_LINK_MAX). */
const LINKS = 30_000;
/** Who holds what is filled; no benchmark calls with this ID. */
const OWNER = { containerId: "mbench-filler", ifname: "eth0" };

/** Addresses one behind the other. */
export interface FillRange {
  /** IPv4 text. */
  readonly first: string;
  readonly count: number;
}

/**
 * Reserves a part of a range in a folder `<dataDir>/<network>`, as host-local has it: a file per address, with who
 * holds it. Makes the folder. The names are hard links of few files, so that a million of them fit on a small disk; to
 * whoever reads them they are files like any other.
 *
 * `fullness`: 0 … 1, of the range without its gateway (the .1 of the /24 it begins in), which is never reserved; below 1
 * at least one address stays free. Those that stay free are scattered, the same ones in every run. Throws RangeError for
 * a range that is none, and what the disk says (ENOSPC).
 */
export function fillStore(folder: string, range: FillRange, fullness: number): void {
  for (const _ of fillInParts(folder, range, fullness));
}

/** As {@link fillStore}, with a break after every 30,000 names (some 0.4 s), in which one may think better of it. */
export function* fillInParts(folder: string, range: FillRange, fullness: number): Generator<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const names = reservedNames(range, fullness);
  for (let begin = 0; begin < names.length; begin += LINKS) {
    const [original = "", ...others] = names.slice(begin, begin + LINKS);
    writeFileSync(`${folder}/${original}`, formatReservation(OWNER), { mode: 0o600 });
    for (const other of others) linkSync(`${folder}/${original}`, `${folder}/${other}`);
    yield;
  }
}

/** The addresses that {@link fillStore} reserves, as text, in ascending order. Throws RangeError. */
export function reservedNames(range: FillRange, fullness: number): string[] {
  const first = parseAddress(range.first);
  if (first?.family !== 4 || !Number.isInteger(range.count) || range.count < 1) {
    throw new RangeError(`wanted an IPv4 address and a count, got ${range.first} and ${range.count}`);
  }
  if (!(fullness >= 0 && fullness <= 1)) throw new RangeError(`fullness must be 0 … 1, got ${fullness}`);
  const gateway = (first.value & ~0xffn) + 1n;
  const fillable: Address[] = [];
  for (let offset = 0; offset < range.count; offset++) {
    const address = addOffset(first, BigInt(offset));
    if (address === null) throw new RangeError(`${range.count} addresses from ${range.first} are too many`);
    if (address.value !== gateway) fillable.push(address);
  }
  // Free ones are chosen, not used ones: the same free addresses whoever asks, and few of them in a full range.
  const free = new Set(chooseScattered(fillable.length, fillable.length - usedOf(fillable.length, fullness)));
  return fillable.flatMap((address, index) => (free.has(index) ? [] : formatAddress(address)));
}
