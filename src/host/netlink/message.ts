import type { Address } from "../../net/address.ts";
import { BusyError, HostError } from "../errors.ts";
import { type NetlinkSocket, type Page, withNetlink, withPage } from "./socket.ts";

/** Message types and flags of include/uapi/linux/{netlink,rtnetlink}.h. */
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_DUMP_INTR = 0x10;
const HEADER_BYTES = 16;
/** Errors of a table that is not there: no such FIB table yet, a kernel without IPv6. */
const EMPTY: ReadonlySet<number> = new Set([2, 97]);
const EINTR = 4;
/** How often an interrupted dump is asked again. */
const DUMP_ATTEMPTS = 5;

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
  return untilWhole(() =>
    withNetlink(query.protocol ?? 0, (socket) => {
      socket.send(encodeRequest(query, query.dump ? NLM_F_DUMP : NLM_F_ACK));
      return receiveAnswers(socket, query.accept, onError);
    }),
  );
}

/** Throws BusyError when `work` says null each time: the dump was interrupted. */
function untilWhole<T>(work: () => T | null): T {
  for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
    const found = work();
    if (found !== null) return found;
  }
  throw new BusyError("the kernel's tables never stood still for a dump", "try again");
}

/**
 * All answers to one request; null when a dump was cut short by a change (NLM_F_DUMP_INTR, or EINTR as its end), of
 * which nothing may be concluded. Empty when the kernel answers with an error, which `onError` is told.
 */
export function receiveAnswers(
  socket: Pick<NetlinkSocket, "receive">,
  accept: Query["accept"],
  onError: (errno: number) => void,
): Message[] | null {
  return withPage((page) => readAnswers(socket, page, accept, onError));
}

function readAnswers(
  socket: Pick<NetlinkSocket, "receive">,
  page: Page,
  accept: Query["accept"],
  onError: (errno: number) => void,
): Message[] | null {
  const messages: Message[] = [];
  let interrupted = false;
  const { view } = page;
  for (;;) {
    const length = socket.receive(page);
    const { buffer } = page.bytes;
    const isWanted = accept === undefined || accept(Buffer.from(buffer, 0, length));
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      if ((view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (type === NLMSG_DONE) {
        // Its payload is the errno that cut the dump short, or 0 (netlink_dump_done).
        const errno = size >= HEADER_BYTES + 4 ? -view.getInt32(at + HEADER_BYTES, true) : 0;
        if (interrupted || errno === EINTR) return null;
        if (errno !== 0) onError(errno);
        return messages;
      }
      if (type === NLMSG_ERROR) {
        // Errno 0 is the acknowledgement of a request that went well; it comes behind the answer.
        const errno = -view.getInt32(at + HEADER_BYTES, true);
        if (errno === 0) return messages;
        if (errno === EINTR) return null;
        onError(errno);
        return [];
      }
      if (size < HEADER_BYTES) break;
      if (isWanted && (accept === undefined || accept(Buffer.from(buffer, at, size)))) {
        // A copy: the page is used again.
        const body = buffer.slice(at + HEADER_BYTES, at + size);
        messages.push({ type, body: new DataView(body) });
      }
      at += align(size);
    }
  }
}

/** Takes one message: where its body begins in the page, and where it ends. */
export type Visit<T> = (into: T, page: Page, body: number, end: number) => void;

/**
 * Dumps a table of the kernel into what `create` makes, without an object for each message: `visit` reads those of
 * `answer`'s type where they lie. Asked again from a fresh start, as {@link ask} does, when a change interrupted it.
 * Errors: ENOENT and EAFNOSUPPORT are an empty table (no IPv6, no such table yet), others throw HostError.
 */
export function dumpInto<T>(query: DumpQuery, create: () => T, visit: Visit<T>): T {
  const ask = (page: Page) =>
    withNetlink(0, (socket) => {
      const into = create();
      let isWhole = true;
      socket.send(encodeRequest(query, NLM_F_DUMP));
      for (;;) {
        const length = socket.receive(page);
        for (let at = 0; at + HEADER_BYTES <= length; ) {
          const size = page.view.getUint32(at, true);
          const type = page.view.getUint16(at + 4, true);
          if ((page.view.getUint16(at + 6, true) & NLM_F_DUMP_INTR) !== 0) isWhole = false;
          if (type === NLMSG_DONE || type === NLMSG_ERROR) {
            const errno = size >= HEADER_BYTES + 4 ? -page.view.getInt32(at + HEADER_BYTES, true) : 0;
            if (errno === EINTR) isWhole = false;
            else if (errno !== 0 && !EMPTY.has(errno)) throw refusal(query.type, errno);
            return isWhole ? into : null;
          }
          if (size < HEADER_BYTES) break;
          if (type === query.answer) visit(into, page, at + HEADER_BYTES, at + size);
          at += align(size);
        }
      }
    });
  return withPage((page) => untilWhole(() => ask(page)));
}

/** A dump of rtnetlink; `answer`: the type of the messages that are wanted. */
export type DumpQuery = Pick<Query, "type" | "fixed" | "attributes"> & { readonly answer: number };

function refusal(type: number, errno: number): HostError {
  return new HostError(`the kernel refused a dump (rtnetlink ${type}): errno ${errno}`, "run as root");
}

/** One request as bytes. `flags` beside NLM_F_REQUEST; `sequence` comes back with the answer. */
export function encodeRequest(
  query: Pick<Query, "type" | "fixed" | "attributes">,
  flags: number,
  sequence = 1,
): Uint8Array {
  const length =
    HEADER_BYTES +
    align(query.fixed.length) +
    query.attributes.reduce((sum, [, payload]) => sum + align(4 + payload.length), 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, query.type, true);
  view.setUint16(6, NLM_F_REQUEST | flags, true);
  view.setUint32(8, sequence, true);
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

function align(size: number): number {
  return (size + 3) & ~3;
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

/** The text of an attribute, without the zeros that end it; empty when there is none. */
export function textOf(view: DataView | undefined): string {
  if (view === undefined) return "";
  return new TextDecoder()
    .decode(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
    .replace(/\0+$/, "");
}

/** An address from its 4 or 16 bytes in network order. */
export function decodeAddress(view: DataView): Address {
  return readAddress(view, 0, view.byteLength);
}

/** An address from the 4 or 16 bytes in network order that begin at `at`. */
export function readAddress(view: DataView, at: number, length: number): Address {
  if (length === 4) return { family: 4, value: BigInt(view.getUint32(at)) };
  return { family: 6, value: (view.getBigUint64(at) << 64n) | view.getBigUint64(at + 8) };
}

/** The 4 or 16 bytes of an address in network order. */
export function encodeAddress({ family, value }: Address): Uint8Array {
  const length = family === 4 ? 4 : 16;
  return Uint8Array.from({ length }, (_, index) =>
    Number((value >> BigInt((length - 1 - index) * 8)) & 255n),
  );
}
