import { readFileSync, writeFileSync } from "node:fs";
import { BusyError, HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";

/** Outside of the lab's folder, which comes and goes. It is never removed: another process may be about to lock it. */
export const LAB_LOCK = "/run/minicni-lab.lock";
/** For what a killed call left running (an `ip` holds the lock until it ends), in milliseconds. */
const WAIT_MS = 1_000;

/**
 * Runs `work` while no other command changes the lab. `what` is what others are told meanwhile. Throws HostError when
 * another one is at work.
 */
export async function withLabLock<T>(what: string, host: Host, work: () => Promise<T>): Promise<T> {
  try {
    return await host.withLock(LAB_LOCK, WAIT_MS, () => {
      // In place: a renamed file would be another one, with a lock of its own.
      writeFileSync(LAB_LOCK, `\`minicni lab ${what}\` (process ${process.pid})\n`);
      return work();
    });
  } catch (error) {
    if (!(error instanceof BusyError)) throw error;
    const holder = readFileSync(LAB_LOCK, "utf8").trim() || "another process";
    throw new HostError(`${holder} is changing the lab right now`, `wait until it has ended (${LAB_LOCK})`);
  }
}
