/**
 * A router's advertisement, sent once (RFC 4861 §4.2): `advertise-main.ts LINK`. Of a default route for half an hour and the
 * prefix fd09:1::/64.
 */
import { FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { openLibc } from "../../src/host/libc.ts";

const AF_INET6 = 10;
const SOCK_RAW = 3;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
/** include/uapi/linux/in6.h */
const IPV6_MULTICAST_HOPS = 18;
/** What came from another link would have fewer hops (RFC 4861 §6.1.2). */
const HOPS = 255;
const LIFETIME_S = 1800;
const DAY_S = 86_400;

const [link = ""] = process.argv.slice(2);
const index = Number(
  readFileSync("/proc/net/igmp6", "utf8").match(new RegExp(`^(\\d+)\\s+${link}\\s`, "m"))?.[1],
);
const calls = openLibc({
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  sendto: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i64,
  },
});

/** Type 134, hop limit 64, lifetime; then one option: type 3, of 4 × 8 bytes, /64, on the link, for addresses. */
const message = new Uint8Array(16 + 32);
const view = new DataView(message.buffer);
message.set([134, 0, 0, 0, 64, 0]);
view.setUint16(6, LIFETIME_S);
message.set([3, 4, 64, 0xc0], 16);
view.setUint32(20, DAY_S);
view.setUint32(24, DAY_S);
message.set([0xfd, 0x09, 0x00, 0x01], 32);

/** struct sockaddr_in6 of ff02::1, all nodes. */
const all = new Uint8Array(28);
const place = new DataView(all.buffer);
place.setUint16(0, AF_INET6, true);
all.set([0xff, 0x02], 8);
all[23] = 1;
place.setUint32(24, index, true);

const socket = calls.socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
calls.setsockopt(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ptr(new Int32Array([HOPS])), 4);
const sent = Number(calls.sendto(socket, ptr(message), BigInt(message.length), 0, ptr(all), all.length));
if (sent !== message.length)
  throw new Error(`the advertisement was not sent on ${link} (index ${index}): ${sent}`);
