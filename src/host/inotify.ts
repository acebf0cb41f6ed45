import { readdirSync, readFileSync } from "node:fs";

/** What a process watches by inotify. */
export interface InotifyWatch {
  /** Decimal, as stat(2) tells it. */
  readonly inode: string;
  /** `major:minor` of the file system, as in /proc/self/mountinfo. */
  readonly device: string;
}

/** The kernel's own dev_t (include/linux/kdev_t.h, MINORBITS), which /proc/<pid>/fdinfo prints as it is. */
const MINOR_BITS = 20n;

/**
 * The watches of all inotify descriptors of a process, from /proc/<pid>/fdinfo (fs/notify/fdinfo.c); null where they can't
 * be read: another user's process, or a kernel without CONFIG_PROC_FS's fdinfo of inotify.
 */
export function observeWatches(pid: number): InotifyWatch[] | null {
  try {
    return readdirSync(`/proc/${pid}/fdinfo`).flatMap((fd) => {
      try {
        return parseWatches(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"));
      } catch {
        // Closed meanwhile.
        return [];
      }
    });
  } catch {
    return null;
  }
}

/** The lines `inotify wd:1 ino:9e7e sdev:800013 mask:…`, hexadecimal. */
export function parseWatches(fdinfo: string): InotifyWatch[] {
  return [...fdinfo.matchAll(/^inotify wd:\S+ ino:([0-9a-f]+) sdev:([0-9a-f]+) /gm)].map(
    ([, ino = "0", sdev = "0"]) => {
      const device = BigInt(`0x${sdev}`);
      const minor = device & ((1n << MINOR_BITS) - 1n);
      return { inode: BigInt(`0x${ino}`).toString(), device: `${device >> MINOR_BITS}:${minor}` };
    },
  );
}
