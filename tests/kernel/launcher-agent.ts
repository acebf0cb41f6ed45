import { ptr } from "bun:ffi";
import { closeSync, fstatSync } from "node:fs";
import { openLibc } from "../../src/host/libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const HEADER_BYTES = 64;
const TOKEN_BYTES = 16;

/** What tells a file, a namespace too, from all others. */
export interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** One call as it came to the agent. */
export interface Call {
  readonly flags: number;
  readonly net: FileId;
  readonly mnt: FileId;
  readonly variables: readonly string[];
  readonly stdin: Buffer;
  /** Whether the datagram with the token of this call was there when the request was. */
  readonly hasToken: boolean;
  /** What was sent with it. */
  readonly descriptor: FileId | null;
}

/** A launcher's connection, from the hello to its end. */
export interface Connection {
  call: Call | null;
  /** What came behind the request. */
  after: string;
  readonly closed: Promise<void>;
}

/** How the agent behaves; bytes are written, null is silence. */
export interface Behaviour {
  readonly hello?: Uint8Array | null;
  /** Ends the connection behind the hello, or behind the answer. */
  readonly ends?: "hello" | "answer";
  readonly answer?: (call: Call) => Uint8Array | null;
}

const CALLS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
} as const;

export function hello(version = 1, status = 0): Buffer {
  const bytes = Buffer.from("MCNI\0\0\0\0");
  bytes.writeUInt16LE(version, 4);
  bytes.writeUInt16LE(status, 6);
  return bytes;
}

/** An answer; `length` where it says another one than its body has. */
export function answer(kind: string, exitCode: number, body: string, length = body.length): Buffer {
  const bytes = Buffer.from(`MCNI${kind}\0\0\0\0\0\0\0${body}`);
  bytes.writeUInt8(exitCode, 5);
  bytes.writeUInt32LE(length, 8);
  return bytes;
}

/** The agent's end of the launcher's protocol at `path`. */
export class StubAgent {
  readonly connections: Connection[] = [];
  readonly #listener: { stop(closeAll: boolean): void };
  readonly #beside: Datagrams;
  readonly #descriptors = new Map<string, FileId | null>();

  constructor(path: string, behaviour: Behaviour = {}) {
    this.#beside = new Datagrams(`${path}.fd`);
    this.#listener = Bun.listen<{ received: Buffer; over: () => void; connection: Connection }>({
      unix: path,
      socket: {
        open: (socket) => {
          const { promise: closed, resolve: over } = Promise.withResolvers<void>();
          const connection: Connection = { call: null, after: "", closed };
          this.connections.push(connection);
          socket.data = { received: Buffer.alloc(0), over, connection };
          const greeting = behaviour.hello === undefined ? hello() : behaviour.hello;
          if (greeting !== null) socket.write(greeting);
          if (behaviour.ends === "hello") socket.end();
        },
        data: (socket, chunk) => {
          const { connection } = socket.data;
          if (connection.call !== null) connection.after += chunk.toString("latin1");
          else socket.data.received = Buffer.concat([socket.data.received, chunk]);
          const call = connection.call === null ? this.#parse(socket.data.received) : null;
          if (call === null) return;
          connection.call = call;
          const bytes = behaviour.answer?.(call) ?? null;
          if (bytes !== null) flush(socket, bytes);
          if (behaviour.ends === "answer") socket.end();
        },
        drain: (socket) => flush(socket),
        close: (socket) => socket.data.over(),
        error: () => undefined,
      },
    });
  }

  /** The one call that came; null when there was none. */
  get call(): Call | null {
    return this.connections[0]?.call ?? null;
  }

  stop(): void {
    this.#listener.stop(true);
    this.#beside.close();
  }

  /** Null until all of the request is there. */
  #parse(bytes: Buffer): Call | null {
    if (bytes.length < HEADER_BYTES) return null;
    const stdinAt = HEADER_BYTES + bytes.readUInt32LE(56);
    if (bytes.length < stdinAt + bytes.readUInt32LE(60)) return null;
    if (bytes.toString("latin1", 0, 4) !== "MCNI" || bytes.readUInt16LE(4) !== 1)
      throw new Error("no request");
    for (const { token, descriptor } of this.#beside.take()) this.#descriptors.set(token, descriptor);
    const token = bytes.toString("hex", 8, 8 + TOKEN_BYTES);
    const id = (at: number) => ({ dev: bytes.readBigUInt64LE(at), ino: bytes.readBigUInt64LE(at + 8) });
    return {
      flags: bytes.readUInt16LE(6),
      net: id(24),
      mnt: id(40),
      variables: bytes.toString("utf8", HEADER_BYTES, stdinAt).split("\0").slice(0, -1).sort(),
      stdin: bytes.subarray(stdinAt),
      hasToken: this.#descriptors.has(token),
      descriptor: this.#descriptors.get(token) ?? null,
    };
  }
}

const unsent = new WeakMap<object, Uint8Array>();

/** Writes what the socket takes; the rest waits for its drain. */
function flush(socket: { write(bytes: Uint8Array): number }, bytes = unsent.get(socket)): void {
  if (bytes === undefined) return;
  const written = Math.max(0, socket.write(bytes));
  if (written < bytes.length) unsent.set(socket, bytes.subarray(written));
  else unsent.delete(socket);
}

function bind(path: string, type: number): number {
  const libc = openLibc(CALLS);
  const fd = libc.socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  const address = Buffer.from(`\0\0${path}\0`);
  address.writeUInt16LE(AF_UNIX);
  if (libc.bind(fd, ptr(address), address.length) !== 0) throw new Error(`can't bind ${path}`);
  return fd;
}

/** A socket in the file system whose owner is gone: it refuses. */
export function leaveSocket(path: string): void {
  closeSync(bind(path, SOCK_STREAM));
}

/** A datagram socket that takes descriptors, which Bun has not. */
class Datagrams {
  readonly #libc = openLibc(CALLS);
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = bind(path, SOCK_DGRAM);
  }

  /** All that came; a descriptor is looked at and closed. */
  *take(): Generator<{ readonly token: string; readonly descriptor: FileId | null }> {
    const token = Buffer.alloc(TOKEN_BYTES + 1);
    // struct cmsghdr (length, level and type) and one descriptor; struct iovec; struct msghdr.
    const control = new Int32Array(6);
    const piece = BigUint64Array.of(BigInt(ptr(token)), BigInt(token.length));
    const message = new BigUint64Array(7);
    for (;;) {
      control.fill(0);
      message.set([0n, 0n, BigInt(ptr(piece)), 1n, BigInt(ptr(control)), BigInt(control.byteLength), 0n]);
      const size = this.#libc.recvmsg(this.#fd, ptr(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (size < 0) return;
      const fd = message[5] === 0n ? -1 : (control[4] ?? -1);
      yield { token: token.toString("hex", 0, Number(size)), descriptor: fd < 0 ? null : identify(fd) };
      if (fd >= 0) closeSync(fd);
    }
  }

  close(): void {
    this.#libc.close(this.#fd);
  }
}

export function identify(fd: number): FileId {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { dev, ino };
}
