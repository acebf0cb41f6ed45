import { ptr } from "bun:ffi";
import { closeSync, fstatSync, mkdirSync, openSync, statSync } from "node:fs";
import { hashHex } from "../net/hash.ts";
import type { Deadline } from "./deadline.ts";
import { BusyError, errnoOf } from "./errors.ts";
import { folderOf, unlessMissing } from "./files.ts";
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

const F_RDLCK = 0;
const F_UNLCK = 2;
/**
 * Behind all places (60 bits of hash): whoever wants a place passes this one, shared, for a moment; whoever wants them
 * all keeps it while waiting, so that new calls do not keep it out for ever.
 */
const GATE = 1n << 60n;

function setLock(file: number, type: number, start: bigint, length: bigint): boolean {
  // struct flock: type and whence (16 bits each, padded), start, length, PID (0 for this kind).
  const flock = new BigInt64Array([0n, start, length, 0n]);
  new DataView(flock.buffer).setInt16(0, type, true);
  return libc().fcntl(file, F_OFD_SETLK, ptr(flock)) === 0;
}

/**
 * One byte of the file per attachment, at the place its key hashes to, so that no file is left behind for each; null
 * takes them all. Open file description locks: those of fcntl's older kind would vanish with any close.
 */
function byteOf(key: string | null): TryLock {
  if (key === null) return (file) => setLock(file, F_WRLCK, GATE, 1n) && setLock(file, F_WRLCK, 0n, GATE);
  const place = BigInt(`0x${hashHex(key).slice(0, 15)}`);
  return (file) => {
    if (!setLock(file, F_RDLCK, GATE, 1n)) return false;
    const isGot = setLock(file, F_WRLCK, place, 1n);
    setLock(file, F_UNLCK, GATE, 1n);
    return isGot;
  };
}

/**
 * Runs `work` while this process alone holds the lock file, or a folder that is there, in at most `timeoutMs` and within
 * the deadline. Throws BusyError, also when the file was removed meanwhile: what was looked at before is of no use then.
 */
export async function withLock<T>(
  path: string,
  timeoutMs: number,
  deadline: Deadline,
  work: () => T | Promise<T>,
): Promise<T> {
  return inTurn(path, deadline, () =>
    hold(openLock(path), path, wholeFile, timeoutMs, deadline, work, false),
  );
}

/** The last of those in this process that want a lock, by its path. */
const tails = new Map<string, Promise<void>>();

/**
 * One after the other, in the order in which they came: among calls of one process the lock is not left to chance, and
 * nobody polls for what its neighbour holds.
 */
async function inTurn<T>(path: string, deadline: Deadline, work: () => Promise<T>): Promise<T> {
  const before = tails.get(path);
  const { promise, resolve } = Promise.withResolvers<void>();
  tails.set(path, promise);
  try {
    if (before !== undefined) {
      await before;
      deadline.check(`waiting for ${path}`);
    }
    return await work();
  } finally {
    if (tails.get(path) === promise) tails.delete(path);
    resolve();
  }
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
    if (!isOptional || !["EROFS", "ENOSPC", "EDQUOT", "EACCES", "EPERM"].includes(errnoOf(error)))
      throw error;
    return await work();
  }
  return hold(file, path, byteOf(key), Number.POSITIVE_INFINITY, deadline, work, isOptional);
}

function openLock(path: string): number {
  mkdirSync(folderOf(path), { recursive: true, mode: 0o755 });
  try {
    // Read as well: a shared lock needs it.
    return openSync(path, "a+", 0o600);
  } catch (error) {
    if (errnoOf(error) !== "EISDIR") throw error;
    return openSync(path, "r");
  }
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
  isOptional: boolean,
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
    if (!isOptional && !isAt(file, path)) {
      throw new BusyError(
        `${path} was removed while this waited for it: minicni was being uninstalled`,
        "try again, where minicni is to stay",
      );
    }
    held.add(file);
    return await work();
  } finally {
    held.delete(file);
    closeSync(file);
  }
}

/** Whether an open file still bears its name: behind that of another file this lock would keep nobody out. */
function isAt(file: number, path: string): boolean {
  const own = fstatSync(file);
  const named = unlessMissing(() => statSync(path));
  return named !== null && named.ino === own.ino && named.dev === own.dev;
}
