import { encodeRequest } from "../../../host/netlink/message.ts";
import { createPage } from "../../../host/netlink/socket.ts";
import { collectRoutes } from "../../../host/routes.ts";
import type { Family } from "../../../net/address.ts";
import { FLAG_GATEWAY, FLAG_ONLINK, ROUTE_WORDS, type RouteTable, WORD } from "../../../plan/route-table.ts";

/** The datagrams in which the kernel sends the routes of each family. */
export type Dump = Readonly<Record<Family, readonly Uint8Array[]>>;

/** include/uapi/linux/{netlink,rtnetlink}.h, as in src/host/routes.ts, which reads what is written here. */
const HEADER_BYTES = 16;
const NLM_F_MULTI = 2;
const RTM_NEWROUTE = 24;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_CACHEINFO = 12;
const RTA_TABLE = 15;
const RTA_PREF = 20;
const RT_TABLE_MAIN = 254;
const RT_SCOPE_LINK = 253;
const RTNH_F_ONLINK = 4;
const AF = { 4: 2, 6: 10 } as const;
/** struct rta_cacheinfo: eight words of 32 bits. */
const CACHEINFO = new Uint8Array(32);
/** What the kernel puts into one datagram of a dump, given room (netlink_dump). */
const DATAGRAM_BYTES = 32 * 1024;

/** A table's routes as the bytes of a dump of the main table: the layout of fib_dump_info and rt6_fill_node. */
export function encodeDump(table: RouteTable): Dump {
  const messages: Record<Family, Uint8Array[]> = { 4: [], 6: [] };
  for (let index = 0; index < table.count; index++) {
    const family = ((table.room[index * ROUTE_WORDS + WORD.prefix] ?? 0) & 255) === 6 ? 6 : 4;
    messages[family].push(encodeRoute(table.words.subarray(index * ROUTE_WORDS), family));
  }
  return { 4: pack(messages[4]), 6: pack(messages[6]) };
}

function encodeRoute(record: Uint32Array, family: Family): Uint8Array {
  const word = (offset: number) => record[offset] ?? 0;
  const flags = word(WORD.flags);
  const address = (offset: number) => bytesOf(record.slice(offset, offset + (family === 4 ? 1 : 4)));
  const number = (value: number) => bytesOf(Uint32Array.of(value));
  const length = (word(WORD.prefix) >> 8) & 255;
  const hasGateway = (flags & FLAG_GATEWAY) !== 0;
  const scope = family === 4 && !hasGateway ? RT_SCOPE_LINK : 0;
  const head = [AF[family], length, 0, 0, RT_TABLE_MAIN, word(WORD.protocol), scope, (flags >> 8) & 255];
  const fixed = Uint8Array.from([...head, (flags & FLAG_ONLINK) === 0 ? 0 : RTNH_F_ONLINK, 0, 0, 0]);
  const hop: (readonly [number, Uint8Array])[] = [];
  if (hasGateway) hop.push([RTA_GATEWAY, address(WORD.via)]);
  if (word(WORD.ifindex) !== 0) hop.push([RTA_OIF, number(word(WORD.ifindex))]);
  const attributes = [
    [RTA_TABLE, number(RT_TABLE_MAIN)] as const,
    ...(length === 0 ? [] : [[RTA_DST, address(WORD.dst)] as const]),
    ...(word(WORD.metric) === 0 ? [] : [[RTA_PRIORITY, number(word(WORD.metric))] as const]),
    ...hop,
    ...(family === 6 ? [[RTA_CACHEINFO, CACHEINFO] as const, [RTA_PREF, Uint8Array.of(0)] as const] : []),
  ];
  const message = encodeRequest({ type: RTM_NEWROUTE, fixed, attributes }, NLM_F_MULTI);
  // An answer is no request.
  new DataView(message.buffer).setUint16(6, NLM_F_MULTI, true);
  return message;
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Whole messages, as many in a datagram as there is room for; all are multiples of 4 long. */
function pack(messages: readonly Uint8Array[]): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  let first = 0;
  let bytes = 0;
  messages.forEach((message, index) => {
    if (bytes + message.length > DATAGRAM_BYTES) {
      datagrams.push(Buffer.concat(messages.slice(first, index)));
      [first, bytes] = [index, 0];
    }
    bytes += message.length;
  });
  if (first < messages.length) datagrams.push(Buffer.concat(messages.slice(first)));
  return datagrams;
}

/**
 * A dump's bytes to a table, by the agent's own code. Each datagram is copied into one page first, as `recv` would do
 * it; what the kernel does to fill it, and its calls, are not in it.
 */
export function parseDump(dump: Dump): RouteTable {
  const page = createPage();
  return collectRoutes((family, create, visit) => {
    const table = create();
    for (const datagram of dump[family]) {
      page.bytes.set(datagram);
      for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
        const size = page.view.getUint32(at, true);
        const type = page.view.getUint16(at + 4, true);
        if (size < HEADER_BYTES) break;
        if (type === RTM_NEWROUTE) visit(table, page, at + HEADER_BYTES, at + size);
        at += (size + 3) & ~3;
      }
    }
    return table;
  });
}
