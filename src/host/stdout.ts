import { ptr } from "bun:ffi";
import { writeSync } from "node:fs";
import { errnoOf, HostError } from "./errors.ts";
import { libc } from "./libc.ts";

const POLLOUT = 4;
/** How long a reader may leave a full pipe, in milliseconds. */
const READER_TIMEOUT_MS = 5_000;
/** A pipe that polls as writable takes this much without blocking (PIPE_BUF, pipe(7)). */
const CHUNK_BYTES = 4096;

/** Writes all of it to standard output. Throws HostError when nobody reads it. */
export function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  // struct pollfd: descriptor 1, and the events that are waited for.
  const wanted = new Int32Array([1, POLLOUT]);
  for (let at = 0; at < bytes.length; ) {
    if (libc().poll(ptr(wanted), 1, READER_TIMEOUT_MS) === 0) {
      throw new HostError("nobody reads standard output", "read the pipe that was given as standard output");
    }
    try {
      at += writeSync(1, bytes, at, Math.min(CHUNK_BYTES, bytes.length - at));
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN") throw error;
    }
  }
}

/** Writes to standard error; throws what write(2) says (EPIPE, ENOSPC, EAGAIN). */
export function printError(text: string): void {
  writeSync(2, text);
}
