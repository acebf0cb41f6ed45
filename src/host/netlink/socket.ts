import { ptr } from "bun:ffi";
import { HostError } from "../errors.ts";
import { libc } from "../libc.ts";

/** Constants of include/uapi/linux/{socket,netlink}.h. */
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
/** The kernel fills up to 32 KB of a dump at once, given room (NLMSG_GOODSIZE, netlink_dump). */
const PAGE_BYTES = 64 * 1024;

/** What one datagram is read into; messages and attributes begin at multiples of 4, so that words can be read at once. */
export interface Page {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly halves: Uint16Array;
  readonly words: Uint32Array;
  readonly view: DataView;
}

/** An empty page. */
export function createPage(): Page {
  const bytes = new Uint8Array(PAGE_BYTES);
  const { buffer } = bytes;
  return {
    bytes,
    halves: new Uint16Array(buffer),
    words: new Uint32Array(buffer),
    view: new DataView(buffer),
  };
}

const spare: Page[] = [];

/**
 * Runs `work` with a page that others have used and will use again: what it returns must not point into it. A fresh one
 * costs more than the whole question (64 KB of memory that the kernel has yet to find).
 */
export function withPage<T>(work: (page: Page) => T): T {
  const page = spare.pop() ?? createPage();
  try {
    return work(page);
  } finally {
    spare.push(page);
  }
}

/** A netlink socket of the namespace that this thread was in when it was opened. */
export interface NetlinkSocket {
  readonly fd: number;
  /** The kernel does what is asked before this returns. Throws HostError when it does not take the request. */
  send(request: Uint8Array): void;
  /** Reads one datagram and returns its length in bytes. Throws HostError when none comes within 5 s. */
  receive(page: Page): number;
  close(): void;
}

/** Opens a socket; throws HostError when there is none to be had. */
export function openNetlink(protocol: number): NetlinkSocket {
  const fd = libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol);
  if (fd < 0) throw new HostError("can't open a netlink socket", "allow AF_NETLINK to this process");
  const one = new Int32Array([1]);
  // Words with an error, and only the header of what was asked for back (kernels before 4.12 and 4.2 know neither).
  for (const option of [NETLINK_GET_STRICT_CHK, NETLINK_EXT_ACK, NETLINK_CAP_ACK]) {
    libc().setsockopt(fd, SOL_NETLINK, option, ptr(one), 4);
  }
  // struct timeval of 5 s: the kernel answers at once, a hang would be a fault of ours.
  libc().setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, ptr(new BigInt64Array([5n, 0n])), 16);
  return {
    fd,
    send: (request) => {
      if (Number(libc().send(fd, ptr(request), request.length, 0)) !== request.length) {
        throw new HostError("a netlink request was not taken", "allow AF_NETLINK to this process");
      }
    },
    receive: ({ bytes }) => {
      const length = Number(libc().recv(fd, ptr(bytes), bytes.length, MSG_TRUNC));
      if (length <= 0 || length > bytes.length) {
        throw new HostError(`netlink answered with ${length} bytes`, "report this as a fault of minicni");
      }
      return length;
    },
    close: () => {
      libc().close(fd);
    },
  };
}

/** Runs `work` with a socket of its own. Throws HostError when there is none to be had. */
export function withNetlink<T>(protocol: number, work: (socket: NetlinkSocket) => T): T {
  const socket = openNetlink(protocol);
  try {
    return work(socket);
  } finally {
    socket.close();
  }
}
