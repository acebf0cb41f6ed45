/** IP family: 4 or 6. */
export type Family = 4 | 6;

/** Both, in the order in which everything is done and told. */
export const FAMILIES: readonly Family[] = [4, 6];

/** One IP address of either family; `value` is its number, 32 or 128 bits. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** Bits of an address of this family (RFC 791: 32, RFC 4291: 128). */
export function addressBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** The unspecified address of a family, by which a socket listens on all (RFC 1122 §3.2.1.3, RFC 4291 §2.5.2). */
export const ANY_ADDRESS: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };

const DECIMAL_OCTET = /^(0|[1-9][0-9]{0,2})$/;
const HEX_GROUP = /^[0-9a-fA-F]{1,4}$/;

/**
 * Parses a textual address strictly: four decimal octets without leading zeros (`010.0.0.1` means different
 * things to different parsers, CVE-2021-29923), or RFC 4291 §2.2 text. No zone, no blanks. Null when it is not one.
 */
export function parseAddress(text: string): Address | null {
  if (text.includes(":")) {
    const value = parseIpv6(text);
    return value === null ? null : { family: 6, value };
  }
  const value = parseIpv4(text);
  return value === null ? null : { family: 4, value };
}

function parseIpv4(text: string): bigint | null {
  const octets = text.split(".");
  if (octets.length !== 4) return null;
  let value = 0;
  for (const octet of octets) {
    if (!DECIMAL_OCTET.test(octet) || Number(octet) > 255) return null;
    value = value * 256 + Number(octet);
  }
  return BigInt(value);
}

function parseIpv6(text: string): bigint | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  if (halves.length === 1) return head?.length === 8 ? joinGroups(head) : null;
  const tail = parseGroups(halves[1] ?? "", true);
  if (head === null || tail === null) return null;
  // "::" stands for at least one group of zeros (RFC 5952 §4.2.2 reads more strictly when writing, not when reading).
  const missing = 8 - head.length - tail.length;
  if (missing < 1) return null;
  return joinGroups([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** Groups of one side of "::"; a dotted IPv4 tail is allowed only at the very end of the address. */
function parseGroups(text: string, isEnd: boolean): number[] | null {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (part.includes(".")) {
      const embedded = isEnd && index === parts.length - 1 ? parseIpv4(part) : null;
      if (embedded === null) return null;
      groups.push(Number(embedded >> 16n), Number(embedded & 0xffffn));
    } else {
      if (!HEX_GROUP.test(part)) return null;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function joinGroups(groups: readonly number[]): bigint | null {
  if (groups.length !== 8) return null;
  return groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

/** Canonical text: dotted decimal, or RFC 5952 (lower case, longest run of two or more zero groups as "::"). */
export function formatAddress(address: Address): string {
  if (address.family === 4) {
    const value = Number(address.value);
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
  }
  return formatIpv6(address.value);
}

function formatIpv6(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  // RFC 5952 §5: IPv4-mapped addresses are written with a dotted tail.
  if (value >> 32n === 0xffffn) {
    return `::ffff:${formatAddress({ family: 4, value: value & 0xffffffffn })}`;
  }
  const run = longestZeroRun(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return text(groups);
  return `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) continue;
    if (index - start > best.length) best = { start, length: index - start };
    start = index + 1;
  }
  return best;
}

/** Whether both are the same address of the same family. */
export function isSameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value;
}

/** The address `offset` further on (may be negative). Null when it leaves the family's space. */
export function addOffset(address: Address, offset: bigint): Address | null {
  const value = address.value + offset;
  if (value < 0n || value >> BigInt(addressBits(address.family)) !== 0n) return null;
  return { family: address.family, value };
}

/** 127.0.0.0/8 (RFC 1122 §3.2.1.3) and ::1 (RFC 4291 §2.5.3). */
export function isLoopback({ family, value }: Address): boolean {
  return family === 4 ? value >> 24n === 127n : value === 1n;
}
