import { FFIType, ptr } from "bun:ffi";
import type { Address, Family } from "../net/address.ts";
import { HOST, type NetnsPath } from "../plan/step.ts";
import { libc, openLibc } from "./libc.ts";
import { encodeAddress } from "./netlink/message.ts";
import { inNetns } from "./netns.ts";

const CALLS = {
  getsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  connect: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
} as const;

/** Constants of Linux (socket.h, in.h, in6.h, errno.h); the same on all architectures we build for. */
const AF = { 4: 2, 6: 10 } as const;
/** SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC. */
const SOCK = 2 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
/** IP_MTU_DISCOVER of IPPROTO_IP, IPV6_MTU_DISCOVER of IPPROTO_IPV6. */
const MTU_DISCOVER = { 4: [0, 10], 6: [41, 23] } as const;
/** Sets DF and asks neither the route nor what was learned of the path: each packet leaves whole (ip(7)). */
const PMTUDISC_PROBE = 3;
/** Without it the sender itself would cut what is larger than its link (RFC 3542 §11.2). */
const IPV6_DONTFRAG = [41, 62] as const;
const EMSGSIZE = 90;
const ECONNREFUSED = 111;
/** Bytes of IP and UDP header (RFC 791, 8200, 768). */
const HEADERS = { 4: 20 + 8, 6: 40 + 8 } as const;
/** IP_MTU of IPPROTO_IP, IPV6_MTU of IPPROTO_IPV6. */
const PATH_MTU = { 4: [0, 14], 6: [41, 24] } as const;
/** IP_RECVERR, IPV6_RECVERR: without it "network unreachable" is not told to a socket (icmp_err_convert of net/ipv4/icmp.c). */
const RECVERR = { 4: [0, 11], 6: [41, 25] } as const;
/** poll.h. */
const POLLIN = 1;
const UNREACHABLE: ReadonlySet<number> = new Set([
  13 /* EACCES: prohibited */, 1 /* EPERM: a filter */, 101 /* ENETUNREACH */, 113 /* EHOSTUNREACH */,
]);
/** Of one wait for all answers, with the thread held, so that the time of an answer is the network's alone. */
const POLL_MS = 1;

/** One datagram to a UDP port where nobody should listen. */
export interface ReachRequest {
  readonly address: Address;
  readonly port: number;
  /** Of the whole packet, from the IP header on; nobody on the way may cut it. */
  readonly packetBytes: number;
  readonly timeoutMs: number;
  /** The socket lives in this namespace; default our own. */
  readonly netns?: NetnsPath;
}

/**
 * `answered`: it arrived whole, and its refusal came back after so long; `too big`: a router said that it does not fit, or
 * it is larger than our own link, and `mtu` is what does (null: not told); `unreachable`: no route here, or a router said so;
 * `silent`: nothing came back.
 */
export type Reach =
  | { readonly kind: "answered"; readonly rttMs: number }
  | { readonly kind: "too big"; readonly mtu: number | null }
  | { readonly kind: "unreachable" }
  | { readonly kind: "silent" };

let loaded: ReturnType<typeof openLibc<typeof CALLS>> | null = null;

function calls() {
  loaded ??= openLibc(CALLS);
  return loaded;
}

/**
 * Sends one datagram of exactly this size, with DF set, and waits for the refusal (ICMP port unreachable, RFC 1122
 * §3.2.2.1). What the kernel has learned of the path before does not keep it back. Throws HostError where the namespace
 * can't be entered, or without a C library.
 */
export async function askReach(request: ReachRequest): Promise<Reach> {
  const { address, port, packetBytes, timeoutMs, netns = HOST } = request;
  const { family } = address;
  const fd = inNetns(netns, () => libc().socket(AF[family], SOCK, 0));
  if (fd < 0) return { kind: "unreachable" };
  try {
    setOption(fd, MTU_DISCOVER[family], PMTUDISC_PROBE);
    setOption(fd, RECVERR[family], 1);
    if (family === 6) setOption(fd, IPV6_DONTFRAG, 1);
    const end = encodeEnd(address, port);
    if (calls().connect(fd, ptr(end), end.length) !== 0) return { kind: "unreachable" };
    const payload = new Uint8Array(Math.max(1, packetBytes - HEADERS[family]));
    const sentAt = performance.now();
    if (libc().send(fd, ptr(payload), payload.length, 0) < 0) {
      // libc's errno is lost on the way here: what is larger than the link is seen by the link.
      const mtu = readOption(fd, PATH_MTU[family]);
      return mtu > 0 && packetBytes > mtu ? { kind: "too big", mtu } : { kind: "unreachable" };
    }
    return await awaitAnswer({ fd, family, sentAt, endsAt: sentAt + timeoutMs });
  } finally {
    libc().close(fd);
  }
}

/** A datagram under way. */
interface Waiting {
  readonly fd: number;
  readonly family: Family;
  readonly sentAt: number;
  readonly endsAt: number;
}

const waiting = new Map<Waiting, (answer: Reach) => void>();

function awaitAnswer(one: Waiting): Promise<Reach> {
  return new Promise((resolve, reject) => {
    const isFirst = waiting.size === 0;
    waiting.set(one, resolve);
    if (isFirst) pollAll().catch(reject);
  });
}

/**
 * Waits for all that is under way together: were each looked at in its turn, an answer's time would have the turns of the
 * others in it. In between others of this process have theirs.
 */
async function pollAll(): Promise<void> {
  while (waiting.size > 0) {
    const list = [...waiting];
    // struct pollfd: descriptor (32 bits), wanted and found events (16 each; an error is always told).
    const pollfds = new Int32Array(new ArrayBuffer(8 * list.length));
    for (const [index, [{ fd }]] of list.entries()) pollfds.set([fd, POLLIN], 2 * index);
    libc().poll(ptr(pollfds), list.length, POLL_MS);
    const at = performance.now();
    for (const [index, [one, resolve]] of list.entries()) {
      const isTold = ((pollfds[2 * index + 1] ?? 0) & ~POLLIN) !== 0;
      const answer = isTold ? readAnswer(one, at) : at >= one.endsAt ? ({ kind: "silent" } as const) : null;
      if (answer === null) continue;
      waiting.delete(one);
      resolve(answer);
    }
    await new Promise(setImmediate);
  }
}

/** A connected socket is told of ICMP errors by SO_ERROR, which needs no errno; null: nothing that says something. */
function readAnswer({ fd, family, sentAt }: Waiting, at: number): Reach | null {
  const error = readOption(fd, [SOL_SOCKET, SO_ERROR]);
  const answered = { kind: "answered", rttMs: at - sentAt } as const;
  if (error === ECONNREFUSED) return answered;
  if (error === EMSGSIZE) {
    const mtu = readOption(fd, PATH_MTU[family]);
    return { kind: "too big", mtu: mtu > 0 ? mtu : null };
  }
  if (UNREACHABLE.has(error)) return { kind: "unreachable" };
  // Somebody listens there after all, and says so.
  const byte = new Uint8Array(1);
  return libc().recv(fd, ptr(byte), byte.length, 0) >= 0 ? answered : null;
}

function setOption(fd: number, [level, name]: readonly [number, number], value: number): void {
  const word = Int32Array.of(value);
  libc().setsockopt(fd, level, name, ptr(word), word.byteLength);
}

/** 0 where it can't be had. */
function readOption(fd: number, [level, name]: readonly [number, number]): number {
  const word = new Int32Array(new ArrayBuffer(4));
  const length = Uint32Array.of(4);
  return calls().getsockopt(fd, level, name, ptr(word), ptr(length)) === 0 ? (word[0] ?? 0) : 0;
}

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28): family in the machine's order, port and address in the network's. */
function encodeEnd(address: Address, port: number): Uint8Array {
  const { family } = address;
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF[family], true);
  view.setUint16(2, port);
  bytes.set(encodeAddress(address), family === 4 ? 4 : 8);
  return bytes;
}
