import { messageOf } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";

/** Runs what may fail without harm: the failure is told as `what`, and the result is null. */
export async function attempt<T>(what: string, host: Host, work: () => T | Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    host.log(`${what}: ${messageOf(error)}`);
    return null;
  }
}
