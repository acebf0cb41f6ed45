import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { errnoOf } from "./errors.ts";
import { folderOf, forget, temporaryOf, unlessMissing } from "./files.ts";

/**
 * Replaces a file so that after a power cut it has the old text or this one, as {@link replaceByRename}. A missing folder
 * is made (0755), one that is there stays the same inode. Throws what the disk says, with the path.
 */
export function writeDurably(path: string, text: string, mode: number): void {
  const folder = folderOf(path);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  try {
    replaceByRename(path, mode, (file) => writeFileSync(file, text));
  } catch (error) {
    // write(2) on a full disk does not tell the path, open(2) does.
    if (error instanceof Error && !error.message.includes(folder)) error.message += ` '${path}'`;
    throw error;
  }
}

/**
 * Temp file in the same folder (`<path>.tmp`), which `fill` writes by its descriptor; fsync, rename, fsync of the folder.
 * The mode is this one whatever the umask. Throws what the disk says; the temp file is gone then.
 */
export function replaceByRename(path: string, mode: number, fill: (file: number) => void): void {
  const temporary = temporaryOf(path);
  // What a killed writer left may have another mode, or be a link to elsewhere.
  removeFile(temporary);
  try {
    const file = openSync(temporary, "wx", mode);
    try {
      fill(file);
      fchmodSync(file, mode);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    forget(temporary);
    throw error;
  }
  syncFolder(folderOf(path));
}

/** No error when it is gone. By unlink(2), as rmSync tells EPERM and ENOTDIR as EFAULT. */
export function removeFile(path: string): void {
  unlessMissing(() => unlinkSync(path));
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
