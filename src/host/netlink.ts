import { ptr } from "bun:ffi";
import type { Address } from "../net/address.ts";
import { BusyError, HostError } from "./errors.ts";
import { libc } from "./libc.ts";

/** Message types and flags of include/uapi/linux/{netlink,rtnetlink}.h. */
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_DUMP_INTR = 0x10;
const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const HEADER_BYTES = 16;
/** The kernel fills up to 32 KB of a dump at once, given room (NLMSG_GOODSIZE, netlink_dump). */
const BUFFER_BYTES = 64 * 1024;

/** One message from the kernel: its type and what follows the header. */
export interface Message {
  readonly type: number;
  readonly body: DataView;
}

/** One request: message type, the fixed struct that follows the header, and attributes. */
export interface Query {
  /** NETLINK_ROUTE when absent. */
  readonly protocol?: number;
  readonly type: number;
  readonly dump: boolean;
  readonly fixed: Uint8Array;
  readonly attributes: readonly (readonly [type: number, payload: Uint8Array])[];
  /** Messages of a dump whose bytes it says no to are left out, undecoded; absent: all are kept. */
  readonly accept?: (bytes: Buffer) => boolean;
}

/**
 * Asks the kernel (by rtnetlink unless told otherwise) and returns its answers. Empty when the kernel answers with an error (`onError` is
 * told which). A dump that was interrupted by a change (NLM_F_DUMP_INTR) is asked again, at most five times.
 */
export function ask(query: Query, onError: (errno: number) => void): Message[] {
  for (let attempt = 0; attempt < 5; attempt++) {
    const answers = askOnce(query, onError);
    if (answers !== null) return answers;
  }
  throw new BusyError("the kernel's tables never stood still for a dump", "try again");
}

function askOnce(query: Query, onError: (errno: number) => void): Message[] | null {
  const socket = libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, query.protocol ?? 0);
  if (socket < 0) throw new HostError("can't open a netlink socket", "allow AF_NETLINK to this process");
  try {
    const one = new Int32Array([1]);
    libc().setsockopt(socket, SOL_NETLINK, NETLINK_GET_STRICT_CHK, ptr(one), 4);
    // struct timeval of 5 s: the kernel answers at once, a hang would be a fault of ours.
    libc().setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, ptr(new BigInt64Array([5n, 0n])), 16);
    const request = encode(query);
    if (Number(libc().send(socket, ptr(request), request.length, 0)) !== request.length) {
      throw new HostError("a netlink request was not taken", "allow AF_NETLINK to this process");
    }
    return receive(socket, query.accept, onError);
  } finally {
    libc().close(socket);
  }
}

function receive(
  socket: number,
  accept: Query["accept"],
  onError: (errno: number) => void,
): Message[] | null {
  const messages: Message[] = [];
  let interrupted = false;
  let buffer = new Uint8Array(BUFFER_BYTES);
  for (;;) {
    const length = Number(libc().recv(socket, ptr(buffer), buffer.length, MSG_TRUNC));
    if (length <= 0 || length > buffer.length) {
      throw new HostError(`netlink answered with ${length} bytes`, "report this as a fault of minicni");
    }
    const view = new DataView(buffer.buffer, 0, length);
    const isWanted = accept === undefined || accept(Buffer.from(buffer.buffer, 0, length));
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      if ((view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (type === NLMSG_DONE) {
        // Its payload is the errno that cut the dump short, or 0 (netlink_dump_done).
        const errno = size >= HEADER_BYTES + 4 ? -view.getInt32(at + HEADER_BYTES, true) : 0;
        if (errno !== 0) onError(errno);
        return interrupted ? null : messages;
      }
      if (type === NLMSG_ERROR) {
        // Errno 0 is the acknowledgement of a request that went well; it comes behind the answer.
        const errno = -view.getInt32(at + HEADER_BYTES, true);
        if (errno === 0) return messages;
        onError(errno);
        return [];
      }
      if (size < HEADER_BYTES) break;
      if (isWanted && (accept === undefined || accept(Buffer.from(buffer.buffer, at, size)))) {
        messages.push({ type, body: new DataView(buffer.buffer, at + HEADER_BYTES, size - HEADER_BYTES) });
      }
      at += align(size);
    }
    // What was kept still points into it.
    if (isWanted) buffer = new Uint8Array(BUFFER_BYTES);
  }
}

function align(size: number): number {
  return (size + 3) & ~3;
}

function encode(query: Query): Uint8Array {
  const length =
    HEADER_BYTES +
    align(query.fixed.length) +
    query.attributes.reduce((sum, [, payload]) => sum + align(4 + payload.length), 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, query.type, true);
  view.setUint16(6, NLM_F_REQUEST | (query.dump ? NLM_F_DUMP : NLM_F_ACK), true);
  view.setUint32(8, 1, true);
  bytes.set(query.fixed, HEADER_BYTES);
  let at = HEADER_BYTES + align(query.fixed.length);
  for (const [type, payload] of query.attributes) {
    view.setUint16(at, 4 + payload.length, true);
    view.setUint16(at + 2, type, true);
    bytes.set(payload, at + 4);
    at += align(4 + payload.length);
  }
  return bytes;
}

/** The attributes that follow a fixed struct of `skip` bytes, by type (flag bits of the type removed). */
export function attributes(body: DataView, skip: number): Map<number, DataView> {
  const found = new Map<number, DataView>();
  for (let at = align(skip); at + 4 <= body.byteLength; ) {
    const size = body.getUint16(at, true);
    if (size < 4 || at + size > body.byteLength) break;
    const type = body.getUint16(at + 2, true) & 0x3fff;
    found.set(type, new DataView(body.buffer, body.byteOffset + at + 4, size - 4));
    at += align(size);
  }
  return found;
}

/** An address from its 4 or 16 bytes in network order. */
export function decodeAddress(view: DataView): Address {
  let value = 0n;
  for (let index = 0; index < view.byteLength; index++) value = (value << 8n) | BigInt(view.getUint8(index));
  return { family: view.byteLength === 4 ? 4 : 6, value };
}

/** The 4 or 16 bytes of an address in network order. */
export function encodeAddress({ family, value }: Address): Uint8Array {
  const length = family === 4 ? 4 : 16;
  return Uint8Array.from({ length }, (_, index) =>
    Number((value >> BigInt((length - 1 - index) * 8)) & 255n),
  );
}
