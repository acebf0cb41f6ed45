import type { Address } from "../net/address.ts";
import { encodeAddress } from "./netlink/message.ts";

/** Constants of Linux (socket.h, in.h, in6.h, errno.h); the same on all architectures we build for. */
export const AF = { 4: 2, 6: 10 } as const;
/** SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC. */
export const SOCK = 2 | 0o4000 | 0o2000000;
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
/** IP_MTU_DISCOVER of IPPROTO_IP, IPV6_MTU_DISCOVER of IPPROTO_IPV6. */
export const MTU_DISCOVER = { 4: [0, 10], 6: [41, 23] } as const;
/** Sets DF and asks neither the route nor what was learned of the path: each packet leaves whole (ip(7)). */
export const PMTUDISC_PROBE = 3;
/** Without it the sender itself would cut what is larger than its link (RFC 3542 §11.2). */
export const IPV6_DONTFRAG = [41, 62] as const;
export const EMSGSIZE = 90;
export const ECONNREFUSED = 111;
/** Bytes of IP and UDP header (RFC 791, 8200, 768). */
export const HEADERS = { 4: 20 + 8, 6: 40 + 8 } as const;

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28): family in the machine's order, port and address in the network's. */
export function encodeEnd(address: Address, port: number): Uint8Array {
  const { family } = address;
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF[family], true);
  view.setUint16(2, port);
  bytes.set(encodeAddress(address), family === 4 ? 4 : 8);
  return bytes;
}
