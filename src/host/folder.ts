import { accessSync, constants, readFileSync, realpathSync, statSync } from "node:fs";
import { errnoOf } from "./errors.ts";
import { unlessMissing } from "./files.ts";

/** A folder and the mount that it is in, links followed; nothing is written for it. */
export interface ObservedFolder {
  /** Without symbolic links. */
  readonly realPath: string;
  readonly isFolder: boolean;
  /** As the kernel counts it in the file system. */
  readonly inode: string;
  /** Why nothing can be made in it: `EROFS`, `EACCES`, `EPERM` (chattr +i); null when it can. */
  readonly fault: string | null;
  readonly mount: ObservedMount | null;
}

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface ObservedMount {
  /** `major:minor` of the file system itself, which stat(2) does not tell on btrfs and overlayfs. */
  readonly device: string;
  readonly point: string;
  /** Of the mount, then of the file system: a container may have one read-only of a file system that is not. */
  readonly options: readonly string[];
  readonly isReadOnlyFs: boolean;
  readonly fsType: string;
}

/** Whether permissions say nothing to this process. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** What is at a path where a folder should be; null when nothing is. Throws what the disk says. */
export function observeFolder(path: string): ObservedFolder | null {
  return unlessMissing(() => {
    const realPath = realpathSync(path);
    const { ino } = statSync(realPath, { bigint: true });
    const isFolder = statSync(realPath).isDirectory();
    return {
      realPath,
      isFolder,
      inode: ino.toString(),
      fault: writeFault(realPath),
      mount: mountOf(realPath, readFileSync("/proc/self/mountinfo", "utf8")),
    };
  });
}

/** access(2) knows read-only mounts, permissions and immutable folders, and a probe would wake who watches the folder. */
function writeFault(path: string): string | null {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return null;
  } catch (error) {
    return errnoOf(error) || "unknown";
  }
}

/** The mount that a path is in: the last one of the longest mount point. */
export function mountOf(path: string, mountinfo: string): ObservedMount | null {
  let found: ObservedMount | null = null;
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , device = "", , rawPoint = "", options = ""] = left.split(" ");
    const point = rawPoint.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const isOver = point === "/" || path === point || path.startsWith(`${point}/`);
    if (rawPoint === "" || !isOver || point.length < (found?.point.length ?? 0)) continue;
    const [fsType = "", , superOptions = ""] = right.split(" ");
    const ofFs = superOptions.split(",");
    const isReadOnlyFs = ofFs.includes("ro");
    found = { device, point, options: [...options.split(","), ...ofFs], isReadOnlyFs, fsType };
  }
  return found;
}
