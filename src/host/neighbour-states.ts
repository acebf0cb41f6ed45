import type { Address } from "../net/address.ts";
import { ask, attributes, decodeAddress } from "./netlink/message.ts";

/** include/uapi/linux/{rtnetlink,neighbour}.h. */
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
/** struct ndmsg: family (one byte), padding, ifindex (at 4), state (two bytes at 8), flags, type. */
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const STATES: ReadonlyMap<number, NeighbourState> = new Map([
  [0x01, "INCOMPLETE"],
  [0x02, "REACHABLE"],
  [0x04, "STALE"],
  [0x08, "DELAY"],
  [0x10, "PROBE"],
  [0x20, "FAILED"],
  [0x40, "NOARP"],
  [0x80, "PERMANENT"],
]);

/** As `ip neigh` prints it. */
export type NeighbourState =
  | "INCOMPLETE"
  | "REACHABLE"
  | "STALE"
  | "DELAY"
  | "PROBE"
  | "FAILED"
  | "NOARP"
  | "PERMANENT";

/** One entry of the neighbour tables; `mac`: null while it is not known. */
export interface NeighbourEntry {
  readonly index: number;
  readonly address: Address;
  readonly mac: string | null;
  readonly state: NeighbourState;
}

/** All neighbour entries of our namespace with their states, both families. Throws HostError, BusyError. */
export function observeNeighbourStates(): NeighbourEntry[] {
  // AF_UNSPEC: both families in one dump.
  const query = { type: RTM_GETNEIGH, dump: true, fixed: new Uint8Array(NDMSG_BYTES), attributes: [] };
  return ask(query, () => undefined).flatMap(({ type, body }) => {
    if (type !== RTM_NEWNEIGH) return [];
    const state = STATES.get(body.getUint16(8, true));
    const found = attributes(body, NDMSG_BYTES);
    const dst = found.get(NDA_DST);
    // Bridges' and other families' entries have no address of ours.
    if (state === undefined || (dst?.byteLength !== 4 && dst?.byteLength !== 16)) return [];
    const mac = found.get(NDA_LLADDR);
    const index = body.getInt32(4, true);
    return [{ index, address: decodeAddress(dst), mac: mac === undefined ? null : formatMac(mac), state }];
  });
}

function formatMac(view: DataView): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
