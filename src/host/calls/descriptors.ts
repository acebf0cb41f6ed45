import { FFIType, ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { HostError } from "../errors.ts";
import { libc, openLibc } from "../libc.ts";
import { formatToken, TOKEN_BYTES } from "./frames.ts";

const CALLS = {
  bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  recvmsg: { args: [FFIType.i32, FFIType.ptr, FFIType.i32], returns: FFIType.i64 },
} as const;

/** Constants of include/linux/socket.h, the same on x86-64 and arm64. */
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_PASSCRED = 16;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** struct sockaddr_un: family, and a path of at most 107 bytes with its zero. */
const MAX_PATH_BYTES = 107;
/** struct msghdr and struct iovec of 64-bit machines. */
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSG_HEADER_BYTES = 16;
const CONTROL_BYTES = 256;

/** A descriptor that came with a token; `fd` null: the token alone. */
export interface Handed {
  readonly fd: number | null;
  /** Who sent it, as the kernel says (SCM_CREDENTIALS). */
  readonly uid: number;
}

/** What came and nobody asked for is closed after this many milliseconds. */
const FORGOTTEN_MS = 30_000;
/** More than launchers can be under way; what is beyond closes the oldest. */
const MAX_WAITING = 2_048;

/** The socket on which launchers hand over the sandbox's namespace. */
export interface DescriptorInbox {
  /** Takes what has come for a token; null when nothing did. The caller closes the descriptor. */
  take(token: string): Handed | null;
  /** Makes room for those that come: a queue holds as few as ten datagrams (net.unix.max_dgram_qlen). */
  drain(): void;
  close(): void;
}

/**
 * Opens it at `path` (there must be no file). A datagram is in the queue before the request that it belongs to is sent, so
 * that nothing has to wait for it: the queue is read when a launcher or its request comes. Throws HostError.
 */
export function openInbox(path: string): DescriptorInbox {
  const { bind, recvmsg } = openLibc(CALLS);
  const fd = bindAt(bind, path);
  const waiting = new Map<string, Handed & { readonly atMs: number }>();
  const drop = (token: string, { fd: handed }: Handed) => {
    waiting.delete(token);
    if (handed !== null) closeSync(handed);
  };
  const message = createMessage();
  const drain = () => {
    for (;;) {
      const length = Number(recvmsg(fd, message.reset(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
      if (length < 0) break;
      const { token, handed } = message.read(length);
      if (token === null) {
        if (handed.fd !== null) closeSync(handed.fd);
        continue;
      }
      const old = waiting.get(token);
      if (old !== undefined) drop(token, old);
      waiting.set(token, { ...handed, atMs: performance.now() });
    }
    for (const [token, handed] of waiting) {
      const isOld = performance.now() - handed.atMs > FORGOTTEN_MS;
      if (!isOld && waiting.size <= MAX_WAITING) break;
      drop(token, handed);
    }
  };
  return {
    drain,
    take: (token) => {
      drain();
      const found = waiting.get(token) ?? null;
      waiting.delete(token);
      return found;
    },
    close: () => {
      drain();
      for (const [token, handed] of waiting) drop(token, handed);
      closeSync(fd);
    },
  };
}

function bindAt(bind: ReturnType<typeof openLibc<typeof CALLS>>["bind"], path: string): number {
  const name = new TextEncoder().encode(path);
  if (name.length > MAX_PATH_BYTES) {
    throw new HostError(
      `${path} is too long for a socket`,
      `use a state folder of at most ${MAX_PATH_BYTES - 16} bytes`,
    );
  }
  const fd = libc().socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw new HostError("can't open a unix socket", "raise ulimit -n");
  libc().setsockopt(fd, SOL_SOCKET, SO_PASSCRED, ptr(Int32Array.of(1)), 4);
  const address = new Uint8Array(2 + name.length + 1);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  if (bind(fd, ptr(address), address.length) === 0) return fd;
  closeSync(fd);
  throw new HostError(`can't make the socket ${path}`, "see that its folder is there and can be written");
}

/** Room for one datagram with its control messages, and how to read it. */
function createMessage() {
  // Over buffers of their own: a small array made by its length moves when something asks for its buffer.
  const payload = new Uint8Array(new ArrayBuffer(TOKEN_BYTES + 1));
  const control = new Uint8Array(new ArrayBuffer(CONTROL_BYTES));
  const iovec = new BigUint64Array(new ArrayBuffer(IOVEC_BYTES));
  const header = new Uint8Array(new ArrayBuffer(MSGHDR_BYTES));
  const view = new DataView(header.buffer);
  const controlView = new DataView(control.buffer);
  iovec[0] = BigInt(ptr(payload));
  iovec[1] = BigInt(payload.length);
  return {
    /** The address of a fresh struct msghdr. */
    reset: () => {
      header.fill(0);
      control.fill(0);
      view.setBigUint64(16, BigInt(ptr(iovec)), true);
      view.setBigUint64(24, 1n, true);
      view.setBigUint64(32, BigInt(ptr(control)), true);
      view.setBigUint64(40, BigInt(CONTROL_BYTES), true);
      return ptr(header);
    },
    /** `token` null: the datagram is none of the launcher's. */
    read: (length: number): { token: string | null; handed: Handed } => {
      const descriptors: number[] = [];
      let uid = -1;
      const end = Number(view.getBigUint64(40, true));
      for (let at = 0; at + CMSG_HEADER_BYTES <= end; ) {
        const size = Number(controlView.getBigUint64(at, true));
        if (size < CMSG_HEADER_BYTES) break;
        const type = controlView.getInt32(at + 12, true);
        const data = at + CMSG_HEADER_BYTES;
        if (type === SCM_RIGHTS) {
          for (let place = data; place + 4 <= at + size; place += 4) {
            descriptors.push(controlView.getInt32(place, true));
          }
        } else if (type === SCM_CREDENTIALS) {
          // struct ucred: PID, UID, GID.
          uid = controlView.getInt32(data + 4, true);
        }
        at += (size + 7) & ~7;
      }
      const [first = null, ...others] = descriptors;
      for (const other of others) closeSync(other);
      const token = length === TOKEN_BYTES ? formatToken(payload.subarray(0, TOKEN_BYTES)) : null;
      return { token, handed: { fd: first, uid } };
    },
  };
}
