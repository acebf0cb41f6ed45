import type { Address, Family } from "../net/address.ts";
import {
  FLAG_GATEWAY,
  FLAG_ONLINK,
  ROUTE_WORDS,
  RouteTable,
  RTN_UNICAST,
  WORD,
} from "../plan/route-table.ts";
import type { RouteLookup } from "../plan/state.ts";
import { HostError } from "./errors.ts";
import { dumpInto, encodeAddress, encodeRequest, readAddress, type Visit } from "./netlink/message.ts";
import { type NetlinkSocket, type Page, withNetlink, withPage } from "./netlink/socket.ts";

/** include/uapi/linux/rtnetlink.h. */
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLMSG_ERROR = 2;
const HEADER_BYTES = 16;
/** struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type (one byte each), flags (four). */
const RTMSG_BYTES = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
/** A gateway of another family than the destination (RFC 5549). */
const RTA_VIA = 18;
const RT_TABLE_MAIN = 254;
/** An entry of the route cache and no route. */
const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 4;
/** struct rtnexthop: length (two bytes), flags, hops, ifindex (four). */
const RTNH_BYTES = 8;
const RTN_LOCAL = 2;
const RTN_ANYCAST = 4;
const RTN_BLACKHOLE = 6;
const RTN_THROW = 9;
const AF = { 4: 2, 6: 10 } as const;
/** The flag bits of an attribute's type (NLA_F_NESTED, NLA_F_NET_BYTEORDER) removed. */
const TYPE_MASK = 0x3fff;

/** Dumps the routes of one family into what `create` makes; `visit` takes each RTM_NEWROUTE, as in {@link dumpInto}. */
export type RouteDump = (family: Family, create: () => RouteTable, visit: Visit<RouteTable>) => RouteTable;

/** All routes of the main table of our namespace, both families; see {@link Host.routeTable}. */
export function observeRouteTable(): RouteTable {
  return collectRoutes(dumpFamily);
}

/** The routes of both families as `dump` gives them, IPv4 first. */
export function collectRoutes(dump: RouteDump): RouteTable {
  const decode =
    (family: Family): Visit<RouteTable> =>
    (table, page, body, end) =>
      decodeRoute(table, page, body, end, family);
  const table = dump(4, () => new RouteTable(), decode(4));
  const before = table.count;
  const own = dump(6, () => new RouteTable(), decode(6));
  for (let index = 0; index < own.count; index++) table.add();
  table.room.set(own.words, before * ROUTE_WORDS);
  return table;
}

function dumpFamily(family: Family, create: () => RouteTable, visit: Visit<RouteTable>): RouteTable {
  const fixed = new Uint8Array(RTMSG_BYTES);
  fixed[0] = AF[family];
  fixed[4] = RT_TABLE_MAIN;
  return dumpInto({ type: RTM_GETROUTE, answer: RTM_NEWROUTE, fixed, attributes: [] }, create, visit);
}

/** Kernels before 4.20 ignore the filter of a strict dump: family and table are looked at again. */
function decodeRoute(table: RouteTable, page: Page, body: number, end: number, family: Family): void {
  const { bytes, halves, words } = page;
  if (bytes[body] !== AF[family] || ((words[(body + 8) >> 2] ?? 0) & RTM_F_CLONED) !== 0) return;
  let number = bytes[body + 4] ?? 0;
  let [dst, gateway, ifindex, priority, hops] = [0, 0, 0, 0, 0];
  let hasVia = false;
  for (let at = body + RTMSG_BYTES; at + 4 <= end; ) {
    const size = halves[at >> 1] ?? 0;
    if (size < 4) break;
    const value = at + 4;
    switch ((halves[(at + 2) >> 1] ?? 0) & TYPE_MASK) {
      case RTA_DST:
        dst = value;
        break;
      case RTA_OIF:
        ifindex = words[value >> 2] ?? 0;
        break;
      case RTA_GATEWAY:
        gateway = value;
        break;
      case RTA_PRIORITY:
        priority = words[value >> 2] ?? 0;
        break;
      case RTA_MULTIPATH:
        hops = value;
        break;
      case RTA_TABLE:
        number = words[value >> 2] ?? 0;
        break;
      case RTA_VIA:
        hasVia = true;
        break;
    }
    at += (size + 3) & ~3;
  }
  if (number !== RT_TABLE_MAIN) return;
  let flags = words[(body + 8) >> 2] ?? 0;
  if (hops !== 0) {
    // The first next hop stands for all of them.
    flags = bytes[hops + 2] ?? 0;
    ifindex = words[(hops + 4) >> 2] ?? 0;
    const hopEnd = hops + (halves[hops >> 1] ?? 0);
    for (let at = hops + RTNH_BYTES; at + 4 <= hopEnd; ) {
      const size = halves[at >> 1] ?? 0;
      if (size < 4) break;
      const type = (halves[(at + 2) >> 1] ?? 0) & TYPE_MASK;
      if (type === RTA_GATEWAY) gateway = at + 4;
      if (type === RTA_VIA) hasVia = true;
      at += (size + 3) & ~3;
    }
  }
  const type = bytes[body + 7] ?? 0;
  const record = table.add();
  const { room } = table;
  const length = family === 4 ? 1 : 4;
  if (dst !== 0) copy(words, dst >> 2, room, record + WORD.dst, length);
  if (gateway !== 0) copy(words, gateway >> 2, room, record + WORD.via, length);
  room[record + WORD.prefix] = family | ((bytes[body + 1] ?? 0) << 8);
  room[record + WORD.metric] = priority;
  // The kernel hangs IPv6's blackholes on lo, which says nothing about them.
  room[record + WORD.ifindex] = type >= RTN_BLACKHOLE && type <= RTN_THROW ? 0 : ifindex;
  // A gateway of the other family has no room here: it counts, and is equal to none.
  room[record + WORD.flags] =
    (gateway !== 0 || hasVia ? FLAG_GATEWAY : 0) |
    ((flags & RTNH_F_ONLINK) === 0 ? 0 : FLAG_ONLINK) |
    (type << 8);
  room[record + WORD.protocol] = bytes[body + 5] ?? 0;
}

function copy(from: Uint32Array, at: number, to: Uint32Array, into: number, count: number): void {
  for (let index = 0; index < count; index++) to[into + index] = from[at + index] ?? 0;
}

/**
 * Errors that say that there is no way (fib_props of net/ipv4/fib_semantics.c): EACCES for prohibit, EINVAL for a
 * blackhole, EAGAIN for throw, EHOSTUNREACH, ENETUNREACH, ENETDOWN; EOPNOTSUPP and EAFNOSUPPORT from a kernel without IPv6.
 */
const NO_WAY: ReadonlySet<number> = new Set([11, 13, 22, 95, 97, 100, 101, 113]);
/**
 * How many look-ups go in one datagram: the kernel answers before `send` returns, and all answers have to fit into the
 * socket's buffer (212,992 bytes by default, some 1 to 5 KB each with its bookkeeping).
 */
const CHUNK = 32;

/** What the kernel would do with a packet to each address; see {@link Host.lookupRoutes}. */
export function lookupRoutes(towards: readonly Address[]): (RouteLookup | null)[] {
  const found = new Array<RouteLookup | null>(towards.length).fill(null);
  if (towards.length === 0) return found;
  const ask = (socket: NetlinkSocket, page: Page) => {
    for (let first = 0; first < towards.length; first += CHUNK) {
      const chunk = towards.slice(first, first + CHUNK);
      socket.send(Buffer.concat(chunk.map((address, index) => encodeLookup(address, first + index))));
      receiveLookups(socket, page, chunk.length, found);
    }
  };
  withNetlink(0, (socket) => withPage((page) => ask(socket, page)));
  return found;
}

/** Its number is the place of the address in the list. */
function encodeLookup(address: Address, sequence: number): Uint8Array {
  const payload = encodeAddress(address);
  const fixed = new Uint8Array(RTMSG_BYTES);
  fixed[0] = AF[address.family];
  fixed[1] = payload.length * 8;
  return encodeRequest({ type: RTM_GETROUTE, fixed, attributes: [[RTA_DST, payload]] }, 0, sequence);
}

function receiveLookups(
  socket: NetlinkSocket,
  page: Page,
  count: number,
  found: (RouteLookup | null)[],
): void {
  const { view } = page;
  for (let answers = 0; answers < count; ) {
    const length = socket.receive(page);
    for (let at = 0; at + HEADER_BYTES <= length; answers++) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      const index = view.getUint32(at + 8, true);
      if (size < HEADER_BYTES) break;
      if (type === NLMSG_ERROR) {
        const errno = -view.getInt32(at + HEADER_BYTES, true);
        if (!NO_WAY.has(errno)) throw new HostError(`RTM_GETROUTE failed: errno ${errno}`, "run as root");
      } else if (type === RTM_NEWROUTE) {
        found[index] = decodeLookup(page, at + HEADER_BYTES, at + size);
      }
      at += (size + 3) & ~3;
    }
  }
}

/** Null for a route that leads nowhere (IPv6 answers with it where IPv4 has an error). */
function decodeLookup({ bytes, halves, words, view }: Page, body: number, end: number): RouteLookup | null {
  const type = bytes[body + 7] ?? 0;
  const isLocal = type === RTN_LOCAL || type === RTN_ANYCAST;
  if (type !== RTN_UNICAST && !isLocal) return null;
  let gateway: Address | null = null;
  let ifindex = 0;
  for (let at = body + RTMSG_BYTES; at + 4 <= end; ) {
    const size = halves[at >> 1] ?? 0;
    if (size < 4) break;
    const kind = (halves[(at + 2) >> 1] ?? 0) & TYPE_MASK;
    if (kind === RTA_OIF) ifindex = words[(at + 4) >> 2] ?? 0;
    if (kind === RTA_GATEWAY) gateway = readAddress(view, at + 4, size - 4);
    // Two bytes of family before the address.
    if (kind === RTA_VIA) gateway = readAddress(view, at + 6, size - 6);
    at += (size + 3) & ~3;
  }
  return { gateway, ifindex, isLocal };
}
