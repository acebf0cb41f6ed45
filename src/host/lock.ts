import { ptr } from "bun:ffi";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { hashHex } from "../net/hash.ts";
import type { Deadline } from "./deadline.ts";
import { BusyError } from "./errors.ts";
import { libc } from "./libc.ts";

/** flock(2): LOCK_EX | LOCK_NB. */
const LOCK_EX_NB = 2 | 4;
/** fcntl(2), "Open file description locks": the number of Linux on x86-64 and arm64. */
const F_OFD_SETLK = 37;
const F_WRLCK = 1;

const held = new Set<number>();

/**
 * Descriptors of the locks that are held. A child that has them too keeps them until it ends: should we be killed,
 * nobody begins on what it is still busy with.
 */
export function heldLocks(): number[] {
  return [...held];
}

/** A lock that was got: closing the only descriptor of its file drops it, and so does the kernel when we die. */
type TryLock = (file: number) => boolean;

/** flock(2) on a whole file: the lock that host-local takes as well. */
const wholeFile: TryLock = (file) => libc().flock(file, LOCK_EX_NB) === 0;

/**
 * One byte of the file per attachment, at the place its key hashes to (60 bits), so that no file is left behind for
 * each; null takes them all. Open file description locks: those of fcntl's older kind would vanish with any close.
 */
function byteOf(key: string | null): TryLock {
  const flock = new BigInt64Array(4);
  new DataView(flock.buffer).setInt16(0, F_WRLCK, true);
  flock[1] = key === null ? 0n : BigInt(`0x${hashHex(key).slice(0, 15)}`);
  flock[2] = key === null ? 0n : 1n;
  return (file) => libc().fcntl(file, F_OFD_SETLK, ptr(flock)) === 0;
}

/** Runs `work` while this process alone holds the lock file, in at most `timeoutMs` and within the deadline. */
export async function withLock<T>(
  path: string,
  timeoutMs: number,
  deadline: Deadline,
  work: () => T | Promise<T>,
): Promise<T> {
  return hold(openLock(path), path, wholeFile, timeoutMs, deadline, work);
}

/** Runs `work` while no other call of this attachment (null: of any) runs, within the deadline. */
export async function withAttachmentLock<T>(
  path: string,
  key: string | null,
  deadline: Deadline,
  work: () => T | Promise<T>,
  isOptional: boolean,
): Promise<T> {
  let file: number;
  try {
    file = openLock(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (!isOptional || !["EROFS", "ENOSPC", "EACCES"].includes(code)) throw error;
    return await work();
  }
  return hold(file, path, byteOf(key), Number.POSITIVE_INFINITY, deadline, work);
}

function openLock(path: string): number {
  mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o755 });
  return openSync(path, "a", 0o600);
}

/**
 * The lock is tried, not waited for, so that the wait is bounded; the pauses differ between processes to keep them
 * from marching in step.
 */
async function hold<T>(
  file: number,
  path: string,
  tryLock: TryLock,
  timeoutMs: number,
  deadline: Deadline,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    const end = performance.now() + timeoutMs;
    while (!tryLock(file)) {
      deadline.check(`waiting for ${path}`);
      if (performance.now() > end) {
        throw new BusyError(`${path} was held by another process for ${timeoutMs} ms`, "try again later");
      }
      await Bun.sleep(1 + Math.random() * 3);
    }
    held.add(file);
    return await work();
  } finally {
    held.delete(file);
    closeSync(file);
  }
}
