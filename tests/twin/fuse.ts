import { mock } from "bun:test";
import * as fs from "node:fs";

/** What ends a call at its n-th effect: from then on the machine does nothing more for it, as after SIGKILL. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** Counts the effects of one call, and ends it at one of them. */
export class Fuse {
  #left = Number.POSITIVE_INFINITY;
  #isBlown = false;
  /** Effects of the call so far. */
  effects = 0;

  /** The next call ends when `effects` more have been done. */
  arm(effects: number): void {
    this.#left = effects;
    this.#isBlown = false;
    this.effects = 0;
  }

  /** Back to life; whether the call was ended. */
  disarm(): boolean {
    const wasBlown = this.#isBlown;
    this.arm(Number.POSITIVE_INFINITY);
    return wasBlown;
  }

  /** A dead process sees nothing. */
  look(): void {
    if (this.#isBlown) throw new Killed("killed");
  }

  /** Before every effect. */
  touch(): void {
    this.look();
    if (this.effects++ >= this.#left) this.#isBlown = true;
    this.look();
  }
}

const real = { ...fs };

/**
 * The reservation store speaks to the disk itself (link(2) is what it rests upon). From now on `before` is called with
 * the path before each of its changes, twice for a written file, since it can be cut off when it is still empty. What
 * `before` throws is what the disk says. Returns how to end this.
 */
export async function watchFileSystem(before: (path: string) => void): Promise<() => Promise<void>> {
  const tell = (path: unknown) => {
    if (typeof path === "string") before(path);
  };
  const watched = {
    linkSync: (from: fs.PathLike, to: fs.PathLike) => {
      tell(to);
      real.linkSync(from, to);
    },
    unlinkSync: (path: fs.PathLike) => {
      tell(path);
      real.unlinkSync(path);
    },
    rmSync: (path: fs.PathLike, options?: fs.RmOptions) => {
      tell(path);
      real.rmSync(path, options);
    },
    writeFileSync: (
      path: fs.PathOrFileDescriptor,
      data: string | NodeJS.ArrayBufferView,
      options?: fs.WriteFileOptions,
    ) => {
      tell(path);
      if (typeof path === "string") real.writeFileSync(path, "", options);
      tell(path);
      real.writeFileSync(path, data, options);
    },
  };
  await mock.module("node:fs", () => ({ ...real, default: { ...real, ...watched }, ...watched }));
  return async () => {
    await mock.module("node:fs", () => ({ ...real, default: real }));
  };
}

/** Each change of the store below `root` is an effect of the fuse. */
export function fuseFileSystem(root: string, fuse: Fuse): Promise<() => Promise<void>> {
  return watchFileSystem((path) => {
    if (path.startsWith(`${root}/`)) fuse.touch();
  });
}

/** The store finds no folder outside of `root`, whatever a configuration says. */
export function wallFileSystem(root: string): Promise<() => Promise<void>> {
  return watchFileSystem((path) => {
    if (path === root || path.startsWith(`${root}/`)) return;
    throw Object.assign(new Error(`ENOENT: no such file or directory, '${path}'`), {
      code: "ENOENT",
      syscall: "open",
    });
  });
}
