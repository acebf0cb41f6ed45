import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

/** Makes a folder for root alone, in memory where there is /run; its name begins with `prefix`. Throws what the disk says. */
export function makeTemporaryFolder(prefix: string): string {
  try {
    return mkdtempSync(`/run/${prefix}`);
  } catch {
    return mkdtempSync(`${tmpdir()}/${prefix}`);
  }
}

/** Removes a folder with all that is in it; no error when it is not there. */
export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
