import { readFileSync } from "node:fs";
import { type Address, addressBits, isSameAddress } from "../net/address.ts";
import { ask, attributes, decodeAddress, encodeAddress, type Message } from "./netlink.ts";

/** include/uapi/linux/netfilter/{nfnetlink,nfnetlink_conntrack}.h. */
const NETLINK_NETFILTER = 12;
const CT_GET = 0x101;
const CT_DELETE = 0x102;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const CTA_TUPLE_IP = 1;
const NLA_F_NESTED = 0x8000;
/** struct nfgenmsg: family, version, resource ID. */
const NFGEN_BYTES = 4;

/** Where an address of a pod stands in an entry: it asked; it was asked; it answered behind a Service (DNAT). */
const PLACES = [
  { tuple: CTA_TUPLE_ORIG, end: "source" },
  { tuple: CTA_TUPLE_ORIG, end: "destination" },
  { tuple: CTA_TUPLE_REPLY, end: "source" },
] as const;
type Place = (typeof PLACES)[number];

/**
 * Deletes every connection-tracking entry of an address in our namespace, so that its next owner does not inherit a
 * UDP flow or a NAT decision of the last one. Returns how many went; 0 where connections are not tracked.
 */
export function flushConnections(address: Address): number {
  if (trackedConnections() === 0) return 0;
  let flushed = 0;
  for (const place of PLACES) {
    for (const entry of findEntries(address, place)) if (deleteEntry(address, entry)) flushed++;
  }
  return flushed;
}

/** /proc/sys/net is that of the reader's namespace. */
function trackedConnections(): number {
  try {
    return Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_count", "utf8"));
  } catch {
    return 0;
  }
}

function header({ family }: Address): Uint8Array {
  return Uint8Array.of(family === 4 ? 2 : 10, 0, 0, 0);
}

/** CTA_IP_V4_SRC 1, V4_DST 2, V6_SRC 3, V6_DST 4. */
function ipAttribute({ family }: Address, { end }: Place): number {
  return (family === 4 ? 1 : 3) + (end === "source" ? 0 : 1);
}

/** The kernel filters since 5.8; an older one ignores the filter and sends all, so that each is looked at again. */
function findEntries(address: Address, place: Place): Map<number, DataView>[] {
  const ip = attribute(ipAttribute(address, place), encodeAddress(address));
  const flag = new Uint8Array(4);
  // CTA_FILTER_F_CTA_IP_SRC 1 << 0, CTA_IP_DST 1 << 1 (net/netfilter/nf_conntrack_netlink.c).
  new DataView(flag.buffer).setUint32(0, place.end === "source" ? 1 : 2, true);
  const none = new Uint8Array(4);
  const isOrig = place.tuple === CTA_TUPLE_ORIG;
  const filter = [
    ...attribute(CTA_FILTER_ORIG_FLAGS, isOrig ? flag : none),
    ...attribute(CTA_FILTER_REPLY_FLAGS, isOrig ? none : flag),
  ];
  const query = {
    protocol: NETLINK_NETFILTER,
    type: CT_GET,
    dump: true,
    fixed: header(address),
    attributes: [
      [place.tuple | NLA_F_NESTED, attribute(CTA_TUPLE_IP | NLA_F_NESTED, ip)],
      [CTA_FILTER | NLA_F_NESTED, Uint8Array.from(filter)],
    ] as const,
  };
  return ask(query, () => undefined)
    .map((message: Message) => attributes(message.body, NFGEN_BYTES))
    .filter((entry) => isAt(entry, address, place));
}

function isAt(entry: Map<number, DataView>, address: Address, place: Place): boolean {
  const tuple = entry.get(place.tuple);
  const ip = tuple === undefined ? undefined : attributes(tuple, 0).get(CTA_TUPLE_IP);
  const value = ip === undefined ? undefined : attributes(ip, 0).get(ipAttribute(address, place));
  if (value === undefined || value.byteLength * 8 !== addressBits(address.family)) return false;
  return isSameAddress(decodeAddress(value), address);
}

/** An entry is named by its original tuple and its zone. False when it went by itself in the meantime. */
function deleteEntry(address: Address, entry: Map<number, DataView>): boolean {
  const tuple = entry.get(CTA_TUPLE_ORIG);
  if (tuple === undefined) return false;
  const zone = entry.get(CTA_ZONE);
  let isGone = true;
  const names = [
    [CTA_TUPLE_ORIG | NLA_F_NESTED, bytesOf(tuple)] as const,
    ...(zone === undefined ? [] : [[CTA_ZONE, bytesOf(zone)] as const]),
  ];
  const query = {
    protocol: NETLINK_NETFILTER,
    type: CT_DELETE,
    dump: false,
    fixed: header(address),
    attributes: names,
  };
  ask(query, () => {
    isGone = false;
  });
  return isGone;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function attribute(type: number, payload: Uint8Array): Uint8Array {
  const length = 4 + payload.length;
  const bytes = new Uint8Array((length + 3) & ~3);
  new DataView(bytes.buffer).setUint16(0, length, true);
  new DataView(bytes.buffer).setUint16(2, type, true);
  bytes.set(payload, 4);
  return bytes;
}
