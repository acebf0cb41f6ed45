import type { Engine } from "./batch.ts";
import { HostError, messageOf } from "./errors.ts";
import { withNetlink } from "./netlink/socket.ts";

/** Which executor is asked for; `auto`: netlink where this process can have it. */
export const EXECUTORS = ["auto", "netlink", "iproute2"] as const;
export type ExecutorChoice = (typeof EXECUTORS)[number];

/** What `auto` found, once for the whole process. */
let found: Engine | null = null;

/**
 * The engine of a choice. `auto` falls back to iproute2, and tells why in one line, once; `netlink` throws HostError
 * where there is none (no C library to load, AF_NETLINK forbidden by a seccomp filter). `probe` throws then.
 */
export function chooseEngine(
  choice: ExecutorChoice,
  log: (line: string) => void,
  probe: () => void = probeNetlink,
): Engine {
  if (choice === "iproute2") return "iproute2";
  if (choice === "auto" && found !== null) return found;
  try {
    probe();
    found = "netlink";
    return found;
  } catch (error) {
    if (choice === "netlink") {
      throw new HostError(`executor netlink: ${messageOf(error)}`, "use executor auto, or iproute2");
    }
    log(`executor auto: iproute2, since there is no netlink here: ${messageOf(error)}`);
    found = "iproute2";
    return found;
  }
}

function probeNetlink(): void {
  withNetlink(0, () => undefined);
}
