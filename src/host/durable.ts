import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { errnoOf } from "./errors.ts";
import { temporaryOf } from "./files.ts";

/**
 * Replaces a file so that after a power cut it has the old text or this one: temp file in the same folder
 * (`<path>.tmp`), fsync, rename, fsync of the folder. A missing folder is made (0755), one that is there stays the same
 * inode. Throws what the disk says, with the path; the temp file is gone then.
 */
export function writeDurably(path: string, text: string, mode: number): void {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const temporary = temporaryOf(path);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  try {
    // What a killed writer left may have another mode, or be a link to elsewhere.
    rmSync(temporary, { force: true });
    const file = openSync(temporary, "wx", mode);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    forget(temporary);
    // write(2) on a full disk does not tell the path, open(2) does.
    if (error instanceof Error && !error.message.includes(folder)) error.message += ` '${path}'`;
    throw error;
  }
  syncFolder(folder);
}

/** On a read-only file system even removing what is not there may fail: the error that led here is the one to tell. */
function forget(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Told by the caller's own error.
  }
}

/** Without it the rename may be lost in a power cut, nothing worse; some file systems know no fsync of folders. */
export function syncFolder(folder: string): void {
  const file = openSync(folder, "r");
  try {
    fsyncSync(file);
  } catch (error) {
    if (!["EINVAL", "ENOTSUP"].includes(errnoOf(error))) throw error;
  } finally {
    closeSync(file);
  }
}
