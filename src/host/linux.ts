import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { BusyError } from "./errors.ts";
import { executePlan } from "./execute.ts";
import { libc } from "./libc.ts";
import { observeAddresses, observeLink, observeRouteMtu } from "./links.ts";
import type { Host } from "./machine.ts";
import { isNetns } from "./netns.ts";
import { spawn } from "./spawn.ts";

const LOCK_EX_NB = 2 | 4;

/** The real machine. */
export function createHost(): Host {
  return {
    spawn,
    execute: executePlan,
    link: observeLink,
    addresses: observeAddresses,
    routeMtu: observeRouteMtu,
    readFile: (path) => unlessMissing(() => readFileSync(path, "utf8")),
    writeFile: replaceFile,
    removeFile: (path) => {
      rmSync(path, { force: true });
      rmSync(temporaryOf(path), { force: true });
    },
    listFolder: (path) => unlessMissing(() => readdirSync(path)) ?? [],
    withLock,
    isNetns: (path) => unlessMissing(() => isNetns(path)) ?? false,
    namespaceId: (path) =>
      unlessMissing(() => {
        const found = statSync(path);
        return `${found.dev}:${found.ino}`;
      }),
    bootId: () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    sleep: Bun.sleepSync,
    log: (line) => {
      writeSync(2, `minicni: ${line}\n`);
    },
  };
}

function unlessMissing<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

/** One name, without a process ID, so that what a killed writer leaves is found again; no file has two writers at once. */
function temporaryOf(path: string): string {
  return `${path}.tmp`;
}

/** Temp file in the same folder, then rename: a reader sees the old text or the new one, never a part. */
function replaceFile(path: string, text: string): void {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const temporary = temporaryOf(path);
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(temporary, text, { mode: 0o600 });
  }
  renameSync(temporary, path);
}

/**
 * flock(2) on a lock file, the same that host-local takes. The kernel drops it when the holder dies. It is tried,
 * not waited for, so that the wait is bounded; the pauses differ between processes to keep them from marching in step.
 */
function withLock<T>(path: string, timeoutMs: number, work: () => T): T {
  const folder = path.slice(0, path.lastIndexOf("/"));
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const file = openSync(path, "a", 0o600);
  try {
    const deadline = performance.now() + timeoutMs;
    while (libc().flock(file, LOCK_EX_NB) !== 0) {
      if (performance.now() > deadline) {
        throw new BusyError(`${path} was held by another process for ${timeoutMs} ms`, "try again later");
      }
      Bun.sleepSync(1 + Math.random() * 3);
    }
    return work();
  } finally {
    // Closing the only descriptor drops the lock.
    closeSync(file);
  }
}
