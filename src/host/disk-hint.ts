import { existsSync } from "node:fs";
import { quoteWord } from "../plan/format.ts";
import { errnoOf } from "./errors.ts";
import { folderOf } from "./files.ts";

/**
 * What to do about an error of the file system, null for anything else. `target`: the path it was about, for errors that
 * name none, as write(2) on a full disk; those of node:fs do.
 */
export function hintOfDisk(error: unknown, target: string | null = null): string | null {
  const path = pathOf(error) ?? target;
  if (path === null) return null;
  const folder = quoteWord(folderOf(path));
  const own = quoteWord(path);
  switch (errnoOf(error)) {
    case "EROFS":
      return `the file system of ${folder} is read-only: mount it writable, or name another folder`;
    case "EACCES":
    case "EPERM":
      return `run as root; if that is so, see what protects it: ls -ld ${folder}; lsattr -d ${folder} ${own}; SELinux, AppArmor`;
    case "ENOSPC":
    case "EDQUOT":
      return `make room in the file system of ${folder}: see df ${folder}`;
    case "ENOENT":
      return existsSync(folderOf(path))
        ? `see what is there: ls -l ${folder}`
        : `make the folder first: mkdir -p ${folder}`;
    case "EEXIST":
      return `see what it is, and move it away: ls -ld ${own}`;
    case "ENOTEMPTY":
      return `see what is in it: ls -A ${own}`;
    case "ENOTDIR":
    case "EISDIR":
    case "ELOOP":
      return `see what is there: ls -ld ${folder} ${own}`;
    case "EIO":
      return "see dmesg: the disk may be failing";
    default:
      return null;
  }
}

/** `dest` is what link(2), symlink(2) and rename(2) make; the other path of a symbolic link may be relative to anything. */
function pathOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { path, dest }: Error & { path?: unknown; dest?: unknown } = error;
  return (
    [dest, path].find((each): each is string => typeof each === "string" && each.startsWith("/")) ?? null
  );
}
