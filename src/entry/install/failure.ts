import { hintOfDisk } from "../../host/disk-hint.ts";
import { HostError, messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { InstallConflict } from "../../topology/install.ts";

/** Tells what ended a command, and what to do about it where that is known. Returns the exit code. */
export function tellFailure(command: string, error: unknown, host: Host): number {
  host.log(`${command}: ${messageOf(error)}`);
  const isHinted = error instanceof HostError || error instanceof InstallConflict;
  const hint = isHinted ? error.hint : hintOfDisk(error);
  if (hint !== null) host.log(`to do: ${hint}`);
  return 1;
}
