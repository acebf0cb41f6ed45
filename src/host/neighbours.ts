import type { ObservedFdb, ObservedNeighbour } from "../plan/state.ts";
import { dumpInto, readAddress } from "./netlink/message.ts";
import type { Page } from "./netlink/socket.ts";

/** include/uapi/linux/{rtnetlink,neighbour}.h. */
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
/** struct ndmsg: family (one byte), padding, ifindex (at 4), state (two bytes at 8), flags, type. */
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const AF_INET = 2;
const AF_BRIDGE = 7;
const AF_INET6 = 10;
const MAC_BYTES = 6;
/** The VXLAN device's entry for MACs that it does not know. */
const ANY_MAC = "00:00:00:00:00:00";

/** Forwarding entries that never age and have a remote address, of one VXLAN device of our namespace. */
export function observeForwarding(index: number): ObservedFdb[] {
  const fixed = new Uint8Array(NDMSG_BYTES);
  fixed[0] = AF_BRIDGE;
  // valid_fdb_dump_strict of net/core/rtnetlink.c filters by this field, neigh_valid_dump_req by the attribute.
  new DataView(fixed.buffer).setUint32(4, index, true);
  const query = { type: RTM_GETNEIGH, answer: RTM_NEWNEIGH, fixed, attributes: [] };
  return dumpInto(query, none<ObservedFdb>, (found, page, body, end) => {
    if (page.bytes[body] !== AF_BRIDGE || !isOf(page, body, index)) return;
    if ((stateOf(page, body) & (NUD_PERMANENT | NUD_NOARP)) === 0) return;
    const { dst, lladdr, dstBytes } = parts(page, body, end);
    if (dst === 0 || lladdr === 0) return;
    const mac = macAt(page.bytes, lladdr);
    if (mac !== ANY_MAC) found.push({ mac, dst: readAddress(page.view, dst, dstBytes) });
  });
}

/** Neighbour entries with a MAC of one link of our namespace, both families; those that need none (NOARP) are no neighbours. */
export function observeNeighbours(index: number): ObservedNeighbour[] {
  const wanted = new Uint8Array(4);
  new DataView(wanted.buffer).setUint32(0, index, true);
  // AF_UNSPEC: both families in one dump.
  const fixed = new Uint8Array(NDMSG_BYTES);
  const query = {
    type: RTM_GETNEIGH,
    answer: RTM_NEWNEIGH,
    fixed,
    attributes: [[NDA_IFINDEX, wanted] as const],
  };
  return dumpInto(query, none<ObservedNeighbour>, (found, page, body, end) => {
    const family = page.bytes[body];
    if ((family !== AF_INET && family !== AF_INET6) || !isOf(page, body, index)) return;
    const state = stateOf(page, body);
    const { dst, lladdr, dstBytes } = parts(page, body, end);
    if ((state & NUD_NOARP) !== 0 || dst === 0 || lladdr === 0) return;
    const address = readAddress(page.view, dst, dstBytes);
    found.push({ address, mac: macAt(page.bytes, lladdr), isPermanent: (state & NUD_PERMANENT) !== 0 });
  });
}

function none<T>(): T[] {
  return [];
}

/** Kernels before 4.20 ignore the filter of a strict dump, so that the index is looked at again. */
function isOf({ words }: Page, body: number, index: number): boolean {
  return words[(body + 4) >> 2] === index;
}

function stateOf({ halves }: Page, body: number): number {
  return halves[(body + 8) >> 1] ?? 0;
}

/** Where the two attributes' values begin; 0: not there. A MAC of another length counts as none. */
function parts({ halves }: Page, body: number, end: number) {
  let [dst, dstBytes, lladdr] = [0, 0, 0];
  for (let at = body + NDMSG_BYTES; at + 4 <= end; ) {
    const size = halves[at >> 1] ?? 0;
    if (size < 4) break;
    const type = halves[(at + 2) >> 1];
    if (type === NDA_DST) {
      dst = at + 4;
      dstBytes = size - 4;
    }
    if (type === NDA_LLADDR && size - 4 === MAC_BYTES) lladdr = at + 4;
    at += (size + 3) & ~3;
  }
  return { dst, dstBytes, lladdr };
}

function macAt(bytes: Uint8Array, at: number): string {
  let text = hexOf(bytes[at] ?? 0);
  for (let index = 1; index < MAC_BYTES; index++) text += `:${hexOf(bytes[at + index] ?? 0)}`;
  return text;
}

function hexOf(byte: number): string {
  return (byte < 16 ? "0" : "") + byte.toString(16);
}
