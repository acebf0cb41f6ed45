import type { NetlinkSocket, Page } from "./socket.ts";

const NLMSG_ERROR = 2;
/** NLM_F_CAPPED and NLM_F_ACK_TLVS of an acknowledgement, NLMSGERR_ATTR_MSG (include/uapi/linux/netlink.h). */
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const HEADER_BYTES = 16;

/**
 * What strerror(3) says of the errors that rtnetlink answers with (include/uapi/asm-generic/errno{,-base}.h): the words
 * that iproute2 prints, by which callers know them.
 */
const TEXTS: Readonly<Record<number, string>> = {
  1: "Operation not permitted",
  2: "No such file or directory",
  3: "No such process",
  4: "Interrupted system call",
  5: "Input/output error",
  6: "No such device or address",
  9: "Bad file descriptor",
  11: "Resource temporarily unavailable",
  12: "Cannot allocate memory",
  13: "Permission denied",
  14: "Bad address",
  16: "Device or resource busy",
  17: "File exists",
  19: "No such device",
  22: "Invalid argument",
  23: "Too many open files in system",
  24: "Too many open files",
  28: "No space left on device",
  34: "Numerical result out of range",
  36: "File name too long",
  40: "Too many levels of symbolic links",
  54: "Exchange full",
  71: "Protocol error",
  93: "Protocol not supported",
  95: "Operation not supported",
  97: "Address family not supported by protocol",
  98: "Address already in use",
  99: "Cannot assign requested address",
  100: "Network is down",
  101: "Network is unreachable",
  105: "No buffer space available",
  110: "Connection timed out",
  113: "No route to host",
};

/** What the kernel said no with. */
export interface Refusal {
  readonly errno: number;
  /** One line: the kernel's own words where it has any (extended acknowledgement), and those of the error number. */
  readonly message: string;
}

/** Words of an error number. */
export function describeErrno(errno: number): string {
  return TEXTS[errno] ?? `error ${errno}`;
}

/**
 * Reads an NLMSG_ERROR that begins at `at` and has `size` bytes; null for an acknowledgement. With NLM_F_CAPPED only the
 * header of the request comes back with it; attributes follow.
 */
export function readRefusal(view: DataView, at: number, size: number): Refusal | null {
  const errno = -view.getInt32(at + HEADER_BYTES, true);
  if (errno === 0) return null;
  const words = describeErrno(errno);
  const said = readWords(view, at, size);
  return { errno, message: said === "" ? `RTNETLINK answers: ${words}` : `Error: ${said} (${words})` };
}

function readWords(view: DataView, at: number, size: number): string {
  const flags = view.getUint16(at + 6, true);
  if ((flags & NLM_F_ACK_TLVS) === 0) return "";
  const echoed = (flags & NLM_F_CAPPED) === 0 ? view.getUint32(at + HEADER_BYTES + 4, true) : HEADER_BYTES;
  for (let place = at + HEADER_BYTES + 4 + ((echoed + 3) & ~3); place + 4 <= at + size; ) {
    const length = view.getUint16(place, true);
    if (length < 4 || place + length > at + size) break;
    if ((view.getUint16(place + 2, true) & 0x3fff) === NLMSGERR_ATTR_MSG) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + place + 4, length - 4);
      return new TextDecoder().decode(bytes).replace(/\0.*$/s, "").replace(/\.$/, "");
    }
    place += (length + 3) & ~3;
  }
  return "";
}

/** Calls back for each refusal, until the message with the sequence `last` is answered. */
export function forEachRefusal(
  socket: Pick<NetlinkSocket, "receive">,
  page: Page,
  last: number,
  onRefusal: (sequence: number, message: string, errno: number) => void,
): void {
  for (;;) {
    const length = socket.receive(page);
    const { view } = page;
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = view.getUint32(at, true);
      if (size < HEADER_BYTES) break;
      const sequence = view.getUint32(at + 8, true);
      if (view.getUint16(at + 4, true) === NLMSG_ERROR) {
        const refusal = readRefusal(view, at, size);
        if (refusal !== null) onRefusal(sequence, refusal.message, refusal.errno);
        if (sequence === last) return;
      }
      at += (size + 3) & ~3;
    }
  }
}
