import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { errnoOf } from "./errors.ts";

/** Permissions of a file, and of folders that are missing on the way to it. */
export interface Modes {
  readonly file: number;
  readonly folder: number;
}
/** State of the node; and what a person asked for, who may be another one later. */
const PRIVATE: Modes = { file: 0o600, folder: 0o700 };
export const PUBLIC: Modes = { file: 0o644, folder: 0o755 };

/** What `read` gives; null when the file it wants is not there. */
export function unlessMissing<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

/** The folder that an absolute path is in. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** One name, without a process ID, so that what a killed writer leaves is found again; no file has two writers at once. */
export function temporaryOf(path: string): string {
  return `${path}.tmp`;
}

/** Writes a file in place; whatever fails names it: open(2) tells its path, write(2) on a full disk does not. */
export function writeNamed(path: string, text: string, mode: number = PRIVATE.file): void {
  try {
    writeFileSync(path, text, { mode });
  } catch (error) {
    if (error instanceof Error && !error.message.includes(path)) error.message += ` '${path}'`;
    throw error;
  }
}

/** For an absolute path. Temp file in the same folder, then rename: a reader sees the old text or the new one, never a part. */
export function replaceFile(path: string, text: string, modes: Modes = PRIVATE): void {
  const folder = folderOf(path);
  const temporary = temporaryOf(path);
  try {
    try {
      writeNamed(temporary, text, modes.file);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      mkdirSync(folder, { recursive: true, mode: modes.folder });
      writeNamed(temporary, text, modes.file);
    }
    renameSync(temporary, path);
  } catch (error) {
    forget(temporary);
    throw error;
  }
}

/** On a read-only file system even removing what is not there may fail: the error that led here is the one to tell. */
export function forget(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Told by the caller's own error.
  }
}

/** One byte, because on a full disk an empty file can still be made. */
export function probeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const file = `${path}/.minicni-probe`;
  try {
    writeNamed(file, "x");
  } finally {
    rmSync(file, { force: true });
  }
}
