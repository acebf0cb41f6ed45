import {
  type Address,
  addOffset,
  addressBits,
  formatAddress,
  isSameAddress,
  parseAddress,
} from "../net/address.ts";
import {
  contains,
  formatPrefix,
  hasHostBits,
  lastAddress,
  networkOf,
  overlaps,
  type Prefix,
  parsePrefix,
} from "../net/prefix.ts";
import { MAX_SLOTS } from "./pool.ts";

/** A range as it is written in a configuration. */
export interface RangeText {
  readonly subnet: string;
  readonly rangeStart?: string | null | undefined;
  readonly rangeEnd?: string | null | undefined;
  readonly gateway?: string | null | undefined;
}

/** A span of addresses of one subnet, both ends included. */
export interface Range {
  readonly subnet: Prefix;
  readonly start: Address;
  readonly end: Address;
  readonly gateway: Address;
}

/** Alternatives for one address; each attachment gets one address of each set. */
export type RangeSet = readonly Range[];

/** A configuration that can't be used; the text says actual against wanted. */
export class InvalidRange extends Error {
  override readonly name = "InvalidRange";
}

function refuse(message: string): never {
  throw new InvalidRange(message);
}

/** Fills in host-local's defaults and checks as host-local does, in its words. Throws {@link InvalidRange}. */
export function parseRange(text: RangeText): Range {
  const subnet = parsePrefix(text.subnet) ?? refuse(`invalid subnet "${text.subnet}": wanted address/length`);
  const bits = addressBits(subnet.address.family);
  if (hasHostBits(subnet)) {
    const network = formatAddress(networkOf(subnet).address);
    refuse(
      `Network has host bits set. For a subnet mask of length ${subnet.length} the network address is ${network} (subnet=${text.subnet})`,
    );
  }
  if (subnet.length > bits - 2)
    refuse(`Network ${formatPrefix(subnet)} too small to allocate from (wanted /${bits - 2} or shorter)`);
  const last = lastAddress(subnet);
  const gateway = parseGateway(subnet, text.gateway) ?? step(subnet.address, 1n);
  const start = within(subnet, "RangeStart", text.rangeStart) ?? step(subnet.address, 1n);
  // The highest IPv4 address is the broadcast address; IPv6 has none (RFC 4291).
  const end = within(subnet, "RangeEnd", text.rangeEnd) ?? (bits === 32 ? step(last, -1n) : last);
  if (start.value > end.value) {
    refuse(
      `RangeStart ${formatAddress(start)} is behind RangeEnd ${formatAddress(end)} in ${formatPrefix(subnet)}`,
    );
  }
  return { subnet, start, end, gateway };
}

function step(address: Address, offset: bigint): Address {
  return addOffset(address, offset) ?? refuse(`${formatAddress(address)} has no neighbour`);
}

/** Anywhere in its family, as host-local takes it: under ptp it may be, and link-local addresses make good ones. */
function parseGateway(subnet: Prefix, text: string | null | undefined): Address | null {
  if (text === undefined || text === null || text === "") return null;
  const address = parseAddress(text) ?? refuse(`invalid gateway "${text}": wanted an IP address`);
  if (address.family !== subnet.address.family)
    refuse(`gateway ${text} is not of the family of ${formatPrefix(subnet)}`);
  return address;
}

function within(subnet: Prefix, what: string, text: string | null | undefined): Address | null {
  if (text === undefined || text === null || text === "") return null;
  const address = parseAddress(text) ?? refuse(`invalid ${what} "${text}": wanted an IP address`);
  if (!contains(subnet, address)) refuse(`${what} ${text} not in network ${formatPrefix(subnet)}`);
  return address;
}

/** Parses range sets and checks them together: one family a set, no overlap anywhere. Throws {@link InvalidRange}. */
export function parseRangeSets(sets: readonly (readonly RangeText[])[]): RangeSet[] {
  const parsed = sets.map((set, index) => {
    if (set.length === 0) refuse(`invalid range set ${index}: empty range set, wanted at least one range`);
    const ranges = set.map((range) => inSet(index, () => parseRange(range)));
    const family = ranges[0]?.subnet.address.family;
    if (ranges.some((range) => range.subnet.address.family !== family))
      refuse(`invalid range set ${index}: mixed address families`);
    return ranges;
  });
  const all = parsed.flatMap((ranges, set) => ranges.map((range) => ({ range, set })));
  for (const [index, a] of all.entries()) {
    for (const b of all.slice(index + 1)) {
      if (!spansOverlap(a.range, b.range)) continue;
      const spans = [a, b].map(({ range }) => formatRangeSet([range]));
      const subnets = [a, b].map(({ range }) => formatPrefix(range.subnet));
      refuse(
        a.set === b.set
          ? `invalid range set ${a.set}: subnets ${spans.join(" and ")} overlap`
          : `range set ${a.set} overlaps with ${b.set}: ${subnets.join(" and ")}`,
      );
    }
  }
  return parsed;
}

/** host-local names the set in front of each fault of a range. */
function inSet<T>(index: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof InvalidRange
      ? new InvalidRange(`invalid range set ${index}: ${error.message}`)
      : error;
  }
}

/** Spans may lie side by side, of one subnet or of two that overlap. */
function spansOverlap(a: Range, b: Range): boolean {
  if (!overlaps(a.subnet, b.subnet)) return false;
  return a.start.value <= b.end.value && b.start.value <= a.end.value;
}

/** host-local's way to name a set in messages: `10.1.2.1-10.1.2.254`, several joined by commas. */
export function formatRangeSet(set: RangeSet): string {
  return set.map((range) => `${formatAddress(range.start)}-${formatAddress(range.end)}`).join(",");
}

/** Whether an address lies in the span of a range. */
export function isInRange(range: Range, address: Address): boolean {
  return (
    contains(range.subnet, address) && address.value >= range.start.value && address.value <= range.end.value
  );
}

/** Slots a range takes in a pool: all its addresses, or a window of the first 2^20 (a /64 has 2^64). */
export function slotsOf(range: Range): number {
  const size = range.end.value - range.start.value + 1n;
  return size > BigInt(MAX_SLOTS) ? MAX_SLOTS : Number(size);
}

/** Slots of a whole set, ranges one behind the other, at most 2^20. */
export function slotsOfSet(set: RangeSet): number {
  return Math.min(
    MAX_SLOTS,
    set.reduce((sum, range) => sum + slotsOf(range), 0),
  );
}

/** The address of a slot, with the range it lies in; null beyond the set. */
export function addressOfSlot(set: RangeSet, slot: number): { range: Range; address: Address } | null {
  let first = 0;
  for (const range of set) {
    const slots = slotsOf(range);
    if (slot < first + slots) {
      const address = addOffset(range.start, BigInt(slot - first));
      return address === null ? null : { range, address };
    }
    first += slots;
  }
  return null;
}

/** The slot of an address; null when it lies in no window of the set. */
export function slotOfAddress(set: RangeSet, address: Address): number | null {
  let first = 0;
  for (const range of set) {
    const slots = slotsOf(range);
    if (isInRange(range, address)) {
      const offset = address.value - range.start.value;
      const slot = first + Number(offset < BigInt(slots) ? offset : 0n);
      return offset < BigInt(slots) && slot < slotsOfSet(set) ? slot : null;
    }
    first += slots;
  }
  return null;
}

/** Whether an address is the gateway of any range of the set. */
export function isGatewayOf(set: RangeSet, address: Address): boolean {
  return set.some((range) => isSameAddress(range.gateway, address));
}
