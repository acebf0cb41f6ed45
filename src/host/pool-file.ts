import { readFileSync, statSync, writeFileSync } from "node:fs";
import { bitmapBytes } from "../ipam/pool.ts";
import { type RangeSet, slotOfAddress, slotsOfSet } from "../ipam/range.ts";
import { type Address, formatAddress, parseAddress } from "../net/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../net/prefix.ts";

/**
 * A kept bitmap, `<dataDir>/<network>/.pool.<set>`: one line of JSON (what it is of, and the folder's mtime it holds
 * for), then the bits. Derived from the reservation files: it only saves reading 65,000 names, and may be deleted at
 * any time. It is believed only while the folder's mtime is the noted one, so that a file made or removed by anybody
 * else, or by a process of ours that died before noting it, makes it worthless.
 */
interface Header {
  readonly ranges: readonly (readonly [subnet: string, start: string, end: string, gateway: string])[];
  readonly mtimeNs: string;
}

const PREFIX = ".pool.";

interface Kept {
  readonly header: Header;
  readonly bits: Uint8Array;
}

/**
 * What this process has written last, by path: one that serves many calls need not read it. Believed as the file is, by the
 * folder's mtime; each is in the file as well before anybody is told of an address.
 */
const written = new Map<string, Kept>();
/** A bitmap has at most 128 KiB. */
const MAX_WRITTEN = 64;

/** From memory where that is of the folder at this mtime, else from the file. */
function readAt(path: string, mtimeNs: string): Kept | null {
  const known = written.get(path);
  return known?.header.mtimeNs === mtimeNs ? { header: known.header, bits: known.bits.slice() } : read(path);
}

/** The kept bitmap of a set; null when there is none, it is torn, of other ranges, or not of the folder at `mtimeNs`. */
export function readPoolFile(
  folder: string,
  index: number,
  set: RangeSet,
  mtimeNs: string,
): Uint8Array | null {
  const kept = readAt(`${folder}/${PREFIX}${index}`, mtimeNs);
  if (kept === null || kept.header.mtimeNs !== mtimeNs) return null;
  if (JSON.stringify(kept.header.ranges) !== JSON.stringify(describe(set))) return null;
  return kept.bits.length === bitmapBytes(slotsOfSet(set)) ? kept.bits : null;
}

/** Writes in place: replacing the file would itself change the folder's mtime. A failure only costs speed. */
export function writePoolFile(folder: string, index: number, set: RangeSet, bits: Uint8Array): void {
  write(`${folder}/${PREFIX}${index}`, folder, describe(set), bits);
}

/** Runs `remove`, then clears the bits of what it removed in every bitmap that was up to date before. */
export function withoutAddresses(folder: string, remove: () => readonly Address[]): readonly Address[] {
  const before = mtimeOf(folder);
  const current: { path: string; header: Header; bits: Uint8Array }[] = [];
  // By number: to list the folder would read the 65,000 names that the bitmaps are to spare us.
  for (let index = 0; ; index++) {
    const path = `${folder}/${PREFIX}${index}`;
    const kept = readAt(path, before);
    if (kept === null) break;
    if (kept.header.mtimeNs === before) current.push({ path, ...kept });
  }
  const removed = remove();
  if (removed.length === 0) return removed;
  for (const { path, header, bits } of current) {
    const set = restore(header);
    if (set === null) continue;
    for (const address of removed) {
      const slot = slotOfAddress(set, address);
      if (slot !== null) bits[slot >> 3] = (bits[slot >> 3] ?? 0) & ~(1 << (slot & 7));
    }
    write(path, folder, header.ranges, bits);
  }
  return removed;
}

function describe(set: RangeSet): Header["ranges"] {
  return set.map(
    (range) =>
      [
        formatPrefix(range.subnet),
        formatAddress(range.start),
        formatAddress(range.end),
        formatAddress(range.gateway),
      ] as const,
  );
}

function restore(header: Header): RangeSet | null {
  const set = header.ranges.map(([subnet, start, end, gateway]) => ({
    subnet: parsePrefix(subnet),
    start: parseAddress(start),
    end: parseAddress(end),
    gateway: parseAddress(gateway),
  }));
  const whole = set.flatMap(({ subnet, start, end, gateway }) =>
    subnet === null || start === null || end === null || gateway === null
      ? []
      : [{ subnet, start, end, gateway }],
  ) satisfies { subnet: Prefix }[];
  return whole.length === set.length ? whole : null;
}

function read(path: string): Kept | null {
  try {
    const bytes = readFileSync(path);
    const end = bytes.indexOf(10);
    if (end < 0) return null;
    const header: unknown = JSON.parse(bytes.subarray(0, end).toString());
    if (!isHeader(header)) return null;
    return { header, bits: new Uint8Array(bytes.subarray(end + 1)) };
  } catch {
    return null;
  }
}

function isHeader(value: unknown): value is Header {
  if (typeof value !== "object" || value === null || !("mtimeNs" in value) || !("ranges" in value))
    return false;
  const isRange = (range: unknown) =>
    Array.isArray(range) && range.length === 4 && range.every((part) => typeof part === "string");
  return typeof value.mtimeNs === "string" && Array.isArray(value.ranges) && value.ranges.every(isRange);
}

function write(path: string, folder: string, ranges: Header["ranges"], bits: Uint8Array): void {
  try {
    // Made empty first: creating it changes the folder's mtime, which has to be noted afterwards.
    writeFileSync(path, "", { mode: 0o600 });
    const header: Header = { ranges, mtimeNs: mtimeOf(folder) };
    writeFileSync(path, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bits]));
    if (written.size >= MAX_WRITTEN) written.clear();
    written.set(path, { header, bits: bits.slice() });
  } catch {
    // Disk full or read-only: the next call derives the bitmap again.
    written.delete(path);
  }
}

/** The folder's mtime in nanoseconds: what a bitmap must have been written for. Empty without a folder. */
export function mtimeOf(folder: string): string {
  return statSync(folder, { bigint: true, throwIfNoEntry: false })?.mtimeNs.toString() ?? "";
}
