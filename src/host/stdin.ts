import { ptr } from "bun:ffi";
import { readSync } from "node:fs";
import type { Deadline } from "./deadline.ts";
import { errnoOf } from "./errors.ts";
import { libc } from "./libc.ts";

const POLLIN = 1;
const CHUNK_BYTES = 64 * 1024;

/** More than any runtime sends: a GC list of 100,000 attachments has 10 MB. */
const MAX_BYTES = 32 * 1024 * 1024;

/** Standard input; one of the two may be called, once. */
export interface Stdin {
  /** All of it, as text. Throws OverdueError when it does not end within the deadline, RangeError when it is too long. */
  read(deadline: Deadline): Promise<string>;
  /** What is there within so many milliseconds, at most one chunk; null when nothing is. Never throws. */
  peek(milliseconds: number): Promise<string | null>;
}

/** The standard input of this process. */
export function openStdin(): Stdin {
  return { read: readAll, peek: readFirst };
}

async function readAll(deadline: Deadline): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const keep = (chunk: Uint8Array) => {
    length += chunk.length;
    if (length > MAX_BYTES) throw new RangeError(`stdin has more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  };
  if (readWhatIsThere(keep)) return Buffer.concat(chunks).toString();
  const reader = Bun.stdin.stream().getReader();
  for (;;) {
    const next = await Promise.race([reader.read(), over(deadline)]);
    if (next === null) {
      deadline.check("reading stdin (who started us has not closed it)");
      continue;
    }
    if (next.done) return Buffer.concat(chunks).toString();
    keep(next.value);
  }
}

/**
 * What has been written before we started, which for libcni is all: without the event loop it costs half a millisecond less.
 * Whether that was the end.
 */
function readWhatIsThere(keep: (chunk: Uint8Array) => void): boolean {
  // struct pollfd: descriptor 0, and the events that are waited for.
  const wanted = new Int32Array([0, POLLIN]);
  while (libc().poll(ptr(wanted), 1, 0) > 0) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    let bytes: number;
    try {
      bytes = readSync(0, chunk);
    } catch (error) {
      if (errnoOf(error) === "EAGAIN") return false;
      throw error;
    }
    if (bytes === 0) return true;
    keep(chunk.subarray(0, bytes));
  }
  return false;
}

/** Resolves to null once the deadline is over or the call is interrupted. */
function over(deadline: Deadline): Promise<null> {
  return new Promise((resolve) => {
    deadline.onInterrupt(() => resolve(null));
    setTimeout(() => resolve(null), Math.min(deadline.left() + 1, 2 ** 31 - 1));
  });
}

async function readFirst(milliseconds: number): Promise<string | null> {
  try {
    const first = Bun.stdin.stream().getReader().read();
    const next = await Promise.race([first, Bun.sleep(milliseconds)]);
    return next?.value === undefined ? null : Buffer.from(next.value).toString();
  } catch {
    return null;
  }
}
