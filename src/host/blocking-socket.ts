import { FFIType, ptr } from "bun:ffi";
import { type Address, type Family, formatAddress } from "../net/address.ts";
import { HostError } from "./errors.ts";
import { openLibc } from "./libc.ts";
import { encodeAddress } from "./netlink/message.ts";

const CALLS = {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  connect: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  listen: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  accept: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  recvfrom: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i64,
  },
  send: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  close: { args: [FFIType.i32], returns: FFIType.i32 },
} as const;

/** Constants of Linux (socket.h, in.h); the same on all architectures we build for. */
const AF = { 4: 2, 6: 10 } as const;
const TYPE = { udp: 2 | 0o2000000, tcp: 1 | 0o2000000 } as const;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
/** A write to a closed connection is an error, not a signal. */
const MSG_NOSIGNAL = 0x4000;
const BACKLOG = 64;
/** struct sockaddr_in6. */
const MAX_END_BYTES = 28;

/** Which transport a socket speaks. */
export type Transport = "udp" | "tcp";

/**
 * A socket whose calls hold this thread until they are done, or until its timeout: without an event loop in the way, a
 * round trip is the network's time alone. No call throws; -1 is a refusal or the timeout.
 */
export interface BlockingSocket {
  /** Whether the connection is made; of UDP: whether the peer is set. */
  connect(): boolean;
  /** The next connection on a TCP socket that listens; null when none comes in time. */
  accept(): BlockingSocket | null;
  /** Takes a datagram from anybody, and answers that sender from then on. Returns its length in bytes. */
  receiveFirst(into: Uint8Array): number;
  receive(into: Uint8Array): number;
  send(bytes: Uint8Array): number;
  /** A TCP connection is reset: it leaves no TIME_WAIT, so that the ports do not run out. */
  close(): void;
}

type Calls = ReturnType<typeof openLibc<typeof CALLS>>;
let loaded: Calls | null = null;

function load(): Calls {
  loaded ??= openLibc(CALLS);
  return loaded;
}

/** A socket towards `address` and `port`. `timeoutMs`: of every single call. Throws HostError without one. */
export function openBlocking(
  transport: Transport,
  address: Address,
  port: number,
  timeoutMs: number,
): BlockingSocket {
  return wrap(open(transport, address.family, timeoutMs), encodeEnd(address, port));
}

/** A socket that takes what comes to `address` and `port`; of TCP it listens. Throws HostError when the port is taken. */
export function listenBlocking(
  transport: Transport,
  address: Address,
  port: number,
  timeoutMs: number,
): BlockingSocket {
  const fd = open(transport, address.family, timeoutMs);
  const end = encodeEnd(address, port);
  const isBound = load().bind(fd, ptr(end), end.length) === 0;
  if (isBound && (transport === "udp" || load().listen(fd, BACKLOG) === 0)) return wrap(fd, end);
  load().close(fd);
  throw new HostError(
    `can't listen on ${transport} port ${port} of ${formatAddress(address)}`,
    `see whether it is an address of this machine, and who has the port: ss -lnp "sport = ${port}"`,
  );
}

function open(transport: Transport, family: Family, timeoutMs: number): number {
  const fd = load().socket(AF[family], TYPE[transport], 0);
  if (fd < 0) throw new HostError(`can't open a ${transport} socket`, "raise ulimit -n");
  const set = (option: number, value: Int32Array | BigInt64Array) =>
    load().setsockopt(fd, SOL_SOCKET, option, ptr(value), value.byteLength);
  // struct timeval: seconds and microseconds.
  const time = BigInt64Array.of(
    BigInt(Math.floor(timeoutMs / 1000)),
    BigInt(Math.round((timeoutMs % 1000) * 1000)),
  );
  for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) set(option, time);
  // struct linger: on, for no time; what is accepted inherits it, as it does the timeouts.
  if (transport === "tcp") set(SO_LINGER, Int32Array.of(1, 0));
  return fd;
}

function wrap(fd: number, end: Uint8Array): BlockingSocket {
  const c = load();
  const from = new Uint8Array(MAX_END_BYTES);
  const fromLength = Uint32Array.of(MAX_END_BYTES);
  return {
    connect: () => c.connect(fd, ptr(end), end.length) === 0,
    accept: () => {
      const accepted = c.accept(fd, null, null);
      return accepted < 0 ? null : wrap(accepted, end);
    },
    receiveFirst: (into) => {
      fromLength[0] = MAX_END_BYTES;
      const length = Number(c.recvfrom(fd, ptr(into), into.length, 0, ptr(from), ptr(fromLength)));
      if (length >= 0) c.connect(fd, ptr(from), fromLength[0] ?? 0);
      return length;
    },
    receive: (into) => Number(c.recvfrom(fd, ptr(into), into.length, 0, null, null)),
    send: (bytes) => Number(c.send(fd, ptr(bytes), bytes.length, MSG_NOSIGNAL)),
    close: () => {
      c.close(fd);
    },
  };
}

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28): family in the machine's order, port and address in the network's. */
function encodeEnd(address: Address, port: number): Uint8Array {
  const { family } = address;
  const bytes = new Uint8Array(family === 4 ? 16 : MAX_END_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF[family], true);
  view.setUint16(2, port);
  bytes.set(encodeAddress(address), family === 4 ? 4 : 8);
  return bytes;
}
