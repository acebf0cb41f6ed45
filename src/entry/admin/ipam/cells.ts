import type { IpamRange } from "../../../doctor/sections/ipam.ts";
import { type Address, addOffset, formatAddress, parseAddress } from "../../../net/address.ts";
import { lastAddress, parsePrefix } from "../../../net/prefix.ts";

/** What a cell stands out by; `held` and `free` say so of one address or of several. */
export type CellMark = "free" | "held" | "leaked" | "gateway" | "next" | "outside";

/** One address, or some that lie side by side. */
export interface MapCell {
  readonly first: string;
  readonly last: string;
  /** How many of them can be given, at most 2^53. */
  readonly size: number;
  readonly held: number;
  /** Those of the held that something is wrong with. */
  readonly leaked: number;
  readonly mark: CellMark;
  /** The first few holders. */
  readonly holders: readonly string[];
}

/** A range as cells, from its first address to its last one, or a part of it. JSON-able. */
export interface RangeMap {
  readonly subnet: string;
  /** `10.1.2.1-10.1.2.254`. */
  readonly range: string;
  readonly gateway: string;
  readonly next: string | null;
  /** Addresses a cell, as text since it may be beyond 2^53. */
  readonly perCell: string;
  readonly cells: readonly MapCell[];
  /** Addresses of the range, as text. */
  readonly size: string;
  readonly held: number;
  readonly leaked: number;
  /** Those of the held that lie beyond the cells: of a range of IPv6 only its beginning is shown. */
  readonly hidden: number;
  /** The cells are the beginning of the range only. */
  readonly isPart: boolean;
}

/** An address that somebody holds. */
export interface HeldAddress {
  readonly address: string;
  /** As it is shown. */
  readonly holder: string;
  readonly isLeaked: boolean;
}

/** Cells that a picture has at most: 16 rows of 64. */
export const MOST_CELLS = 1024;
/** What automatic allocation looks at of a range (ipam/pool.ts): beyond it nothing is held but on request. */
const WINDOW = 1n << 20n;
/** Of a range that is too large to be shown whole, at least four rows of 64. */
const LEAST_SHOWN = 256n;
const ROW = 64n;
const MOST_HOLDERS = 3;

/**
 * Cells of a range: a small subnet whole, one cell an address; of a larger one its range, each cell for as many addresses
 * (a power of two) as it takes to need no more than `most` cells; of one beyond 2^20 the part in use. `held`: of the whole
 * network; what lies elsewhere is left out. Throws RangeError for a range that is none.
 */
export function mapCells(
  range: IpamRange,
  held: readonly HeldAddress[],
  next: string | null,
  most = MOST_CELLS,
): RangeMap {
  const subnet = parsePrefix(range.subnet);
  const [start, end] = [parseAddress(range.first), parseAddress(range.last)];
  if (subnet === null || start === null || end === null) throw new RangeError(`no range: ${range.subnet}`);
  const values = held.flatMap((it) => {
    const address = parseAddress(it.address);
    const isHere =
      address?.family === start.family && address.value >= start.value && address.value <= end.value;
    return address !== null && isHere ? [{ ...it, value: address.value }] : [];
  });
  const nextValue = valueIn(start, end, next);
  const span = chooseSpan(subnet, start, end, most, [...values.map(({ value }) => value), ...nextValue]);
  const cells = makeCells(span, start, end, {
    gateway: parseAddress(range.gateway),
    next: nextValue[0] ?? null,
    held: values,
  });
  const last = span.first + span.perCell * span.count - 1n;
  return {
    subnet: range.subnet,
    range: `${range.first}-${range.last}`,
    gateway: range.gateway,
    next: nextValue.length === 0 ? null : next,
    perCell: String(span.perCell),
    cells,
    size: String(end.value - start.value + 1n),
    held: values.length,
    leaked: values.filter(({ isLeaked }) => isLeaked).length,
    hidden: values.filter(({ value }) => value > last).length,
    isPart: last < end.value,
  };
}

function valueIn(start: Address, end: Address, text: string | null): bigint[] {
  const address = text === null ? null : parseAddress(text);
  if (address?.family !== start.family) return [];
  return address.value >= start.value && address.value <= end.value ? [address.value] : [];
}

interface Span {
  readonly first: bigint;
  readonly perCell: bigint;
  readonly count: bigint;
}

function chooseSpan(
  subnet: NonNullable<ReturnType<typeof parsePrefix>>,
  start: Address,
  end: Address,
  most: number,
  used: readonly bigint[],
): Span {
  const first = subnet.address.value;
  const whole = lastAddress(subnet).value - first + 1n;
  if (whole <= BigInt(most)) return { first, perCell: 1n, count: whole };
  // Rows begin where a reader expects them: at multiples of 64.
  const aligned = (value: bigint, step: bigint) => value - (value % (step > ROW ? step : ROW));
  let last = end.value;
  if (end.value - start.value >= WINDOW) {
    const inWindow = used.filter((value) => value - start.value < WINDOW);
    let furthest = start.value;
    for (const value of inWindow) if (value > furthest) furthest = value;
    const from = aligned(start.value, 1n);
    const shown = ((furthest - from) / ROW + 1n) * ROW;
    last = from + (shown > LEAST_SHOWN ? shown : LEAST_SHOWN) - 1n;
  }
  let perCell = 1n;
  for (;;) {
    const from = aligned(start.value, perCell);
    const count = (last - from) / perCell + 1n;
    if (count <= BigInt(most)) return { first: from, perCell, count };
    perCell *= 2n;
  }
}

function makeCells(
  { first, perCell, count }: Span,
  start: Address,
  end: Address,
  marks: {
    readonly gateway: Address | null;
    readonly next: bigint | null;
    readonly held: readonly (HeldAddress & { readonly value: bigint })[];
  },
): MapCell[] {
  const { gateway, next } = marks;
  const byCell = new Map<number, HeldAddress[]>();
  for (const it of marks.held) {
    const index = Number((it.value - first) / perCell);
    const there = byCell.get(index);
    if (there === undefined) byCell.set(index, [it]);
    else there.push(it);
  }
  const text = (value: bigint) => formatAddress(addOffset(start, value - start.value) ?? start);
  return Array.from({ length: Number(count) }, (_none, index) => {
    const from = first + BigInt(index) * perCell;
    const to = from + perCell - 1n;
    const [low, high] = [from > start.value ? from : start.value, to < end.value ? to : end.value];
    const hasGateway = gateway !== null && gateway.value >= low && gateway.value <= high;
    const isGateway = gateway?.value === from && perCell === 1n;
    const inside = high < low ? 0 : Number(high - low + 1n);
    const held = byCell.get(index) ?? [];
    const leaked = held.filter(({ isLeaked }) => isLeaked).length;
    return {
      first: text(from),
      last: text(to),
      size: Math.max(held.length, inside - (hasGateway ? 1 : 0)),
      held: held.length,
      leaked,
      mark:
        leaked > 0
          ? "leaked"
          : isGateway
            ? "gateway"
            : next !== null && next >= from && next <= to
              ? "next"
              : inside === 0
                ? "outside"
                : held.length > 0
                  ? "held"
                  : "free",
      holders: held.slice(0, MOST_HOLDERS).map(({ holder }) => holder),
    };
  });
}
