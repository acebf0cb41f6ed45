import { readFileSync } from "node:fs";
import { type Address, formatAddress } from "../net/address.ts";
import { ask, attributes, decodeAddress, encodeAddress, type Message } from "./netlink/message.ts";

/** include/uapi/linux/netfilter/{nfnetlink,nfnetlink_conntrack}.h. */
const NETLINK_NETFILTER = 12;
const CT_GET = 0x101;
const CT_DELETE = 0x102;
export const CTA = {
  original: 1,
  reply: 2,
  zone: 18,
  ip: 1,
  protocol: 2,
  source: { 4: 1, 6: 3 },
  destination: { 4: 2, 6: 4 },
  protocolNumber: 1,
  sourcePort: 2,
  destinationPort: 3,
} as const;
const NLA_F_NESTED = 0x8000;
/** struct nfgenmsg: family, version, resource ID. */
const NFGEN_BYTES = 4;

/**
 * Deletes every connection-tracking entry of these addresses in our namespace, so that their next owners do not
 * inherit a UDP flow or a NAT decision. Returns how many went; 0 where connections are not tracked. One walk over the
 * kernel's table for all of them: it costs 9 ms whatever is in it (262,144 buckets, measured), and the kernel's own
 * filter would need one walk for each place an address can stand in.
 */
export function flushConnections(addresses: readonly Address[]): number {
  if (addresses.length === 0 || trackedConnections() === 0) return 0;
  const wanted = new Set(addresses.map(formatAddress));
  const patterns = addresses.map(encodeAddress);
  return walk(
    (bytes) => patterns.some((pattern) => bytes.includes(pattern)),
    (entry) => isOf(entry, wanted),
  );
}

/** One direction of a connection; ports 0 where the protocol has none. */
export interface FlowEnd {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A tracked connection: what was asked for, and what an answer looks like behind all translation. */
export interface Flow {
  /** IANA's number. */
  readonly protocol: number;
  readonly original: FlowEnd;
  readonly reply: FlowEnd;
}

/**
 * Deletes every connection-tracking entry of our namespace that `isWanted` says yes to. `mayBe` looks at the bytes of a
 * message first: far cheaper than decoding each of 100,000 entries. Returns how many went.
 */
export function forgetFlows(mayBe: (bytes: Buffer) => boolean, isWanted: (flow: Flow) => boolean): number {
  return walk(mayBe, (entry) => {
    const flow = decodeFlow(entry);
    return flow !== null && isWanted(flow);
  });
}

function walk(mayBe: (bytes: Buffer) => boolean, isWanted: (entry: Message) => boolean): number {
  const query = {
    protocol: NETLINK_NETFILTER,
    type: CT_GET,
    dump: true,
    // AF_UNSPEC: both families.
    fixed: new Uint8Array(NFGEN_BYTES),
    attributes: [],
    accept: mayBe,
  };
  return ask(query, () => undefined)
    .filter(isWanted)
    .filter(deleteEntry).length;
}

function decodeFlow({ body }: Message): Flow | null {
  const entry = attributes(body, NFGEN_BYTES);
  const original = decodeEnd(entry.get(CTA.original));
  const reply = decodeEnd(entry.get(CTA.reply));
  if (original === null || reply === null) return null;
  return { protocol: original.protocol, original, reply };
}

function decodeEnd(tuple: DataView | undefined): (FlowEnd & { readonly protocol: number }) | null {
  if (tuple === undefined) return null;
  const parts = attributes(tuple, 0);
  const ip = parts.get(CTA.ip);
  const proto = parts.get(CTA.protocol);
  if (ip === undefined || proto === undefined) return null;
  const addresses = attributes(ip, 0);
  const source = addresses.get(CTA.source[4]) ?? addresses.get(CTA.source[6]);
  const destination = addresses.get(CTA.destination[4]) ?? addresses.get(CTA.destination[6]);
  if (source === undefined || destination === undefined) return null;
  const ports = attributes(proto, 0);
  return {
    source: decodeAddress(source),
    destination: decodeAddress(destination),
    protocol: ports.get(CTA.protocolNumber)?.getUint8(0) ?? 0,
    // In network order, as all numbers of netfilter.
    sourcePort: ports.get(CTA.sourcePort)?.getUint16(0) ?? 0,
    destinationPort: ports.get(CTA.destinationPort)?.getUint16(0) ?? 0,
  };
}

/** How many connections our namespace tracks (/proc/sys/net is that of the reader's namespace). */
export function trackedConnections(): number {
  try {
    return Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_count", "utf8"));
  } catch {
    return 0;
  }
}

/** Whether an address asked, was asked, or answered behind a Service (DNAT). */
function isOf({ body }: Message, wanted: ReadonlySet<string>): boolean {
  const entry = attributes(body, NFGEN_BYTES);
  return [CTA.original, CTA.reply].some((place) => {
    const tuple = entry.get(place);
    const ip = tuple === undefined ? undefined : attributes(tuple, 0).get(CTA.ip);
    if (ip === undefined) return false;
    return [...attributes(ip, 0).values()].some((value) => wanted.has(formatAddress(decodeAddress(value))));
  });
}

/** An entry is named by its original tuple and its zone. False when it went by itself in the meantime. */
function deleteEntry({ body }: Message): boolean {
  const entry = attributes(body, NFGEN_BYTES);
  const tuple = entry.get(CTA.original);
  if (tuple === undefined) return false;
  const zone = entry.get(CTA.zone);
  let isGone = true;
  const query = {
    protocol: NETLINK_NETFILTER,
    type: CT_DELETE,
    dump: false,
    fixed: Uint8Array.of(body.getUint8(0), 0, 0, 0),
    attributes: [
      [CTA.original | NLA_F_NESTED, bytesOf(tuple)] as const,
      ...(zone === undefined ? [] : [[CTA.zone, bytesOf(zone)] as const]),
    ],
  };
  ask(query, () => {
    isGone = false;
  });
  return isGone;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
