import { createDeadline } from "./deadline.ts";
import { OverdueError } from "./errors.ts";
import { withAttachmentLock } from "./lock.ts";
import type { Host } from "./machine.ts";

/** To see whether a call of one attachment is under way: it holds its place in the lock file to its end. */
const PROBE_MS = 50;

/** Whether a call of this attachment (its key in one line) is under way; false as well where that can't be known. */
export async function isCallUnderWay(
  host: Pick<Host, "isFile">,
  lock: string,
  key: string,
): Promise<boolean> {
  // Without the file nobody ever held it, and a look must not make it.
  if (!host.isFile(lock)) return false;
  try {
    await withAttachmentLock(lock, key, createDeadline(PROBE_MS), () => undefined, true);
    return false;
  } catch (error) {
    if (error instanceof OverdueError) return true;
    throw error;
  }
}
