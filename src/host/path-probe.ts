import { FFIType, ptr } from "bun:ffi";
import type { Address } from "../net/address.ts";
import {
  AF,
  ECONNREFUSED,
  EMSGSIZE,
  encodeEnd,
  HEADERS,
  IPV6_DONTFRAG,
  MTU_DISCOVER,
  PMTUDISC_PROBE,
  SO_ERROR,
  SOCK,
  SOL_SOCKET,
} from "./datagram.ts";
import { openLibc } from "./libc.ts";

const CALLS = {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  getsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  connect: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  send: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  close: { args: [FFIType.i32], returns: FFIType.i32 },
} as const;

/** Closed nearly everywhere: the first port of traceroute, and discard (RFC 863). */
const CLOSED_PORTS = [33434, 9];
const LOOK_MS = 5;

/** One question to the kernel of another machine. */
export interface SizedRequest {
  readonly address: Address;
  /** Of the whole packet, from the IP header on; nobody on the way may cut it. */
  readonly packetBytes: number;
  /** Each of two tries waits this long for its answer. */
  readonly timeoutMs: number;
}

/**
 * `answered`: the packet arrived whole; `too big`: a router said that it does not fit, or it is larger than our own
 * link; `silent`: nothing came back; `unsent`: the kernel would not send it.
 */
export type SizedAnswer = "answered" | "too big" | "silent" | "unsent";

let loaded: ReturnType<typeof openLibc<typeof CALLS>> | null = null;

function calls() {
  loaded ??= openLibc(CALLS);
  return loaded;
}

/**
 * Sends one datagram of exactly this size, with DF set, to a closed UDP port, up to twice, and waits for the refusal (ICMP
 * port unreachable). It is not kept back by what the kernel has learned of the path before. Throws HostError without a C
 * library.
 */
export async function askSized({ address, packetBytes, timeoutMs }: SizedRequest): Promise<SizedAnswer> {
  const { family } = address;
  const payload = new Uint8Array(Math.max(1, packetBytes - HEADERS[family]));
  let last: SizedAnswer = "silent";
  for (const port of CLOSED_PORTS) {
    const fd = calls().socket(AF[family], SOCK, 0);
    if (fd < 0) return "unsent";
    try {
      const one = Int32Array.of(1);
      const probe = Int32Array.of(PMTUDISC_PROBE);
      calls().setsockopt(fd, MTU_DISCOVER[family][0], MTU_DISCOVER[family][1], ptr(probe), probe.byteLength);
      if (family === 6) calls().setsockopt(fd, IPV6_DONTFRAG[0], IPV6_DONTFRAG[1], ptr(one), one.byteLength);
      const end = encodeEnd(address, port);
      if (calls().connect(fd, ptr(end), end.length) !== 0) return "unsent";
      if (calls().send(fd, ptr(payload), payload.length, 0) < 0) return "unsent";
      last = await answerOn(fd, timeoutMs);
    } finally {
      calls().close(fd);
    }
    if (last !== "silent") return last;
  }
  return last;
}

/** A connected socket is told of ICMP errors by SO_ERROR, which needs no errno. */
async function answerOn(fd: number, timeoutMs: number): Promise<SizedAnswer> {
  const error = new Int32Array(1);
  const length = Uint32Array.of(4);
  const byte = new Uint8Array(1);
  for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
    calls().getsockopt(fd, SOL_SOCKET, SO_ERROR, ptr(error), ptr(length));
    if (error[0] === ECONNREFUSED) return "answered";
    if (error[0] === EMSGSIZE) return "too big";
    // Somebody listens there after all, and says so.
    if (calls().recv(fd, ptr(byte), byte.length, 0) >= 0) return "answered";
    await Bun.sleep(LOOK_MS);
  }
  return "silent";
}
