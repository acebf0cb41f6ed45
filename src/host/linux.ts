import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { flushConnections, trackedConnections } from "./conntrack.ts";
import { createDeadline, type Deadline } from "./deadline.ts";
import { executePlan } from "./execute.ts";
import { observeAddresses, observeLink, observeLinks, observeRouteMtu } from "./links.ts";
import { withAttachmentLock, withLock } from "./lock.ts";
import type { Host } from "./machine.ts";
import { isNetns } from "./netns.ts";
import { FALLBACK_PATH, spawn } from "./spawn.ts";

/** The real machine, for a call that may take as long as `deadline` says (by default: as long as it takes). */
export function createHost(deadline: Deadline = createDeadline(Number.POSITIVE_INFINITY)): Host {
  return {
    deadline,
    spawn: (request) => spawn(request, deadline),
    execute: (plan) => executePlan(plan, deadline),
    link: observeLink,
    links: observeLinks,
    addresses: observeAddresses,
    routeMtu: observeRouteMtu,
    flushConnections,
    trackedConnections,
    isFile: (path) => unlessMissing(() => statSync(path).isFile()) ?? false,
    findProgram: (name) => Bun.which(name, { PATH: process.env.PATH ?? FALLBACK_PATH }),
    probeFolder,
    // Regular files only: a FIFO where a file should be would hold us for ever.
    readFile: (path) => unlessMissing(() => (statSync(path).isFile() ? readFileSync(path, "utf8") : null)),
    writeFile: replaceFile,
    removeFile: (path) => {
      rmSync(path, { force: true });
      rmSync(temporaryOf(path), { force: true });
    },
    listFolder: (path) => unlessMissing(() => readdirSync(path)) ?? [],
    withLock: (path, timeoutMs, work) => withLock(path, timeoutMs, deadline, work),
    withAttachmentLock: (path, key, work, options) =>
      withAttachmentLock(path, key, deadline, work, options?.isOptional ?? false),
    isNetns: (path) => unlessMissing(() => isNetns(path)) ?? false,
    namespaceId: (path) => {
      try {
        const found = statSync(path);
        return `${found.dev}:${found.ino}`;
      } catch {
        // A path that can't even be looked at (ENAMETOOLONG, ELOOP, EACCES) is as good as none.
        return null;
      }
    },
    bootId: () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    sleep: (milliseconds) => Bun.sleep(milliseconds),
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

/** One byte, because on a full disk an empty file can still be made. */
function probeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const file = `${path}/.minicni-probe`;
  try {
    writeFileSync(file, "x", { mode: 0o600 });
  } finally {
    rmSync(file, { force: true });
  }
}
