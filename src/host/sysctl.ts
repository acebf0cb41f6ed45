import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Command } from "../plan/format.ts";
import { errnoOf } from "./errors.ts";

/** Where every process can read them; a container runtime mounts it read-only unless the container is privileged. */
const PROC_SYS = "/proc/sys";
/** Names a second way to the machine's /proc/sys that can be written, such as a mount of /proc/sys/net below it. */
const VARIABLE = "MINICNI_PROC_SYS";

/** A sysctl that could not be written. */
export interface SysctlFailure {
  /** Place of the command in what was given. */
  readonly index: number;
  readonly message: string;
  readonly hint: string;
}

/**
 * Writes in the network namespace that the thread is in: whichever mount leads to /proc/sys/net, the kernel looks names
 * up in the namespace of the reader (fs/proc/proc_sysctl.c follows `current->nsproxy`), so that one mount does for
 * pods too. With "first" what follows a failure is not written.
 */
export function writeSysctls(commands: readonly Command[], until: "first" | "each"): SysctlFailure[] {
  const failures: SysctlFailure[] = [];
  const root = writableRoot();
  for (const [index, command] of commands.entries()) {
    if (command.tool !== "sysctl") continue;
    const { key, value, optional } = command;
    const path = `${root}/${key}`;
    try {
      writeFileSync(path, value);
    } catch (error) {
      // No /proc/sys/net/ipv6: the kernel runs without IPv6 (plugins#102).
      if (optional && errnoOf(error) === "ENOENT") continue;
      const { message, hint } = explain(key, value, path, error);
      // Where all steps are run, nobody is told a hint of its own; that of the first one holds for the others.
      const isTold = until === "each" && failures.length === 0;
      failures.push({ index, hint, message: isTold ? `${message}: ${hint}` : message });
      if (until === "first") break;
    }
  }
  return failures;
}

/** Where nothing is mounted (an empty folder, or none) the usual place is better than none. */
function writableRoot(): string {
  const chosen = process.env[VARIABLE]?.replace(/\/+$/, "") ?? "";
  return chosen !== "" && existsSync(`${chosen}/net/ipv4`) ? chosen : PROC_SYS;
}

function explain(
  key: string,
  value: string,
  path: string,
  error: unknown,
): Pick<SysctlFailure, "message" | "hint"> {
  const name = key.replaceAll(".", "\0").replaceAll("/", ".").replaceAll("\0", "/");
  const byHand = `sysctl -w ${name}=${value}`;
  const hint = ["EROFS", "EACCES", "EPERM"].includes(errnoOf(error))
    ? `run \`${byHand}\` on the node (and keep it in /etc/sysctl.d), or mount the node's /proc/sys/net into the ` +
      `container and name the folder above it in ${VARIABLE}`
    : `run \`${byHand}\` by hand to see why`;
  const message = `${name} is ${read(`${PROC_SYS}/${key}`)}, wanted ${value}, and ${path} can't be written (${errnoOf(error) || error})`;
  return { message, hint };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "not there";
  }
}
