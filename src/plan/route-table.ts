import type { Address } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/**
 * Routes as fixed records of 64 bytes (one cache line), the form in which they come from a dump, are diffed in
 * WebAssembly and are kept by the thousand. 32-bit words, little-endian as the machine has them:
 *
 *   0 … 3   destination: its bytes in network order, IPv4 in word 0, the rest 0   ┐
 *   4       family (4 or 6) | prefix length << 8                                  │ key of `ip route replace`
 *   5       metric as the kernel counts it (IPv4 0 and IPv6 1024 when none)       ┘
 *   6 … 9   gateway, as the destination; 0 when there is none                     ┐
 *   10      ifindex; 0 for a route without link (blackhole)                       │ value
 *   11      1: has a gateway | 2: onlink | RTN_ type << 8                         ┘
 *   12      protocol (RTPROT_): whose route it is
 *   13 … 15 0
 */
export const ROUTE_WORDS = 16;
export const ROUTE_BYTES = ROUTE_WORDS * 4;
export const WORD = { dst: 0, prefix: 4, metric: 5, via: 6, ifindex: 10, flags: 11, protocol: 12 } as const;
export const FLAG_GATEWAY = 1;
export const FLAG_ONLINK = 2;

/** rtnetlink's RTN_UNICAST: an ordinary route. */
export const RTN_UNICAST = 1;
/** Metric of an IPv6 route that names none (IP6_RT_PRIO_USER). */
const DEFAULT_METRIC = { 4: 0, 6: 1024 } as const;

/** One route of a table, whole. */
export interface TableRoute {
  readonly dst: Prefix;
  readonly via: Address | null;
  /** 0: none. */
  readonly ifindex: number;
  /** Null: the family's default. */
  readonly metric: number | null;
  readonly isOnlink: boolean;
  /** RTN_ type; 1 is an ordinary route. */
  readonly type: number;
  readonly protocol: number;
}

/** A growing table of such records. */
export class RouteTable {
  #words: Uint32Array;
  #count = 0;

  constructor(capacity = 256) {
    this.#words = new Uint32Array(Math.max(1, capacity) * ROUTE_WORDS);
  }

  get count(): number {
    return this.#count;
  }

  /** The records, without a copy; valid until the next push. */
  get words(): Uint32Array {
    return this.#words.subarray(0, this.#count * ROUTE_WORDS);
  }

  /** Appends an empty record and returns where its words begin in {@link RouteTable.room}. */
  add(): number {
    const at = this.#count * ROUTE_WORDS;
    if (at === this.#words.length) {
      const wider = new Uint32Array(this.#words.length * 2);
      wider.set(this.#words);
      this.#words = wider;
    }
    this.#count++;
    return at;
  }

  /** All words, for who fills what {@link RouteTable.add} gave; replaced by the next one that finds no room. */
  get room(): Uint32Array {
    return this.#words;
  }

  /** Appends a route. */
  push(route: TableRoute): void {
    const at = this.add();
    const { family } = route.dst.address;
    const words = this.#words;
    packAddress(words, at + WORD.dst, route.dst.address);
    words[at + WORD.prefix] = family | (route.dst.length << 8);
    words[at + WORD.metric] = route.metric ?? DEFAULT_METRIC[family];
    if (route.via !== null) packAddress(words, at + WORD.via, route.via);
    words[at + WORD.ifindex] = route.ifindex;
    words[at + WORD.flags] =
      (route.via === null ? 0 : FLAG_GATEWAY) | (route.isOnlink ? FLAG_ONLINK : 0) | (route.type << 8);
    words[at + WORD.protocol] = route.protocol;
  }

  /** Appends a copy of another table's route. */
  pushFrom(other: RouteTable, index: number): void {
    const from = index * ROUTE_WORDS;
    const at = this.add();
    this.#words.set(other.room.subarray(from, from + ROUTE_WORDS), at);
  }

  /** The route at `index`, 0 … count−1. Throws RangeError beyond. */
  at(index: number): TableRoute {
    if (!(index >= 0 && index < this.#count)) throw new RangeError(`no route ${index} of ${this.#count}`);
    const at = index * ROUTE_WORDS;
    const word = (offset: number) => this.#words[at + offset] ?? 0;
    const family = (word(WORD.prefix) & 255) === 6 ? 6 : 4;
    const flags = word(WORD.flags);
    const hasGateway = (flags & FLAG_GATEWAY) !== 0;
    return {
      dst: {
        address: unpackAddress(this.#words, at + WORD.dst, family),
        length: (word(WORD.prefix) >> 8) & 255,
      },
      via: hasGateway ? unpackAddress(this.#words, at + WORD.via, family) : null,
      ifindex: word(WORD.ifindex),
      metric: word(WORD.metric),
      isOnlink: (flags & FLAG_ONLINK) !== 0,
      type: (flags >> 8) & 255,
      protocol: word(WORD.protocol),
    };
  }
}

/** Network order in memory whatever the value: word 0 holds the first four bytes, the first byte lowest. */
function packAddress(words: Uint32Array, at: number, { family, value }: Address): void {
  if (family === 4) {
    words[at] = swap(Number(value));
    return;
  }
  for (let index = 0; index < 4; index++) {
    words[at + index] = swap(Number((value >> BigInt(96 - index * 32)) & 0xffffffffn));
  }
}

function unpackAddress(words: Uint32Array, at: number, family: 4 | 6): Address {
  if (family === 4) return { family, value: BigInt(swap(words[at] ?? 0)) };
  let value = 0n;
  for (let index = 0; index < 4; index++) value = (value << 32n) | BigInt(swap(words[at + index] ?? 0));
  return { family, value };
}

/** Both architectures we build for are little-endian. */
function swap(value: number): number {
  return (((value & 255) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
