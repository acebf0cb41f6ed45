import { mkdirSync, writeFileSync } from "node:fs";
import { HostError, OverdueError } from "../../../host/errors.ts";
import type { Finished } from "../../../host/machine.ts";
import type { Context } from "../context.ts";
import source from "./floor.c" with { type: "text" };

/** Tried in this order where the environment variable CC says nothing. */
const COMPILERS = ["cc", "gcc", "clang"];
/** Users' compilers may warn about things that ours do not know yet: no -Werror. */
export const FLAGS: readonly string[] = ["-O2", "-std=gnu99", "-Wall", "-Wextra"];
/** A static program is started without the dynamic loader; not every machine has a libc for it. */
const LINKAGES = [
  { name: "static", flags: ["-static"] },
  { name: "dynamic", flags: [] },
] as const;
/** It takes less than a second. */
const COMPILE_MS = 60_000;
/** Lines of a compiler's complaint that are passed on; the first ones say what is missing. */
const LINES = 3;
const HINT = "apt-get install gcc libc6-dev";

/** The pod that the floor makes; names and addresses are as `ip` takes them. */
export interface FloorPod {
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** Has to be there in the namespace that the floor is started in. */
  readonly bridge: string;
  readonly hostVeth: string;
  /** The pod's end of the veth. */
  readonly ifname: string;
  /** IPv4, with the length of its subnet: "10.7.0.2/24". */
  readonly address: string;
  /** The default route's, in that subnet. */
  readonly gateway: string;
}

/** What the floor can be asked to do; the veth of `del` goes with all that hangs on it. */
export type FloorCall =
  | readonly [verb: "add", pod: FloorPod]
  | readonly [verb: "del", hostVeth: string]
  | readonly [verb: "nothing"];

/** The command line of a call; it has to be started in the node's namespace. */
export function floorArgv(program: string, ...call: FloorCall): string[] {
  const [verb, what] = call;
  if (verb === "nothing") return [program, verb];
  if (verb === "del") return [program, verb, what];
  const { netns, bridge, hostVeth, ifname, address, gateway } = what;
  return [program, verb, netns, bridge, hostVeth, ifname, address, gateway];
}

/**
 * Compiles the floor (`floor.c`) in a folder that is made when missing, and returns the program's path: static where
 * that works, else dynamic, which a note tells. Null, and a note why, when there is no compiler, it refuses the source,
 * or what it makes does not run (a disk that is mounted noexec). Throws OverdueError once the run is interrupted.
 */
export async function compileFloor(
  { host, note }: Pick<Context, "host" | "note">,
  folder: string,
): Promise<string | null> {
  const wanted = words(process.env.CC);
  const compiler = wanted[0] === undefined ? firstOf(host) : wanted;
  if (compiler === null || host.findProgram(compiler[0] ?? "") === null) {
    const which = compiler === null ? "" : ` (CC=${compiler.join(" ")} is not there)`;
    note(`no C compiler${which}: the floor is left out; ${HINT}`);
    return null;
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [file, program] = [`${folder}/floor.c`, `${folder}/floor`];
  writeFileSync(file, source, { mode: 0o600 });
  let complaint = "";
  for (const { name, flags } of LINKAGES) {
    const argv = [...compiler, ...FLAGS, ...flags, "-o", program, file];
    const done = await host.spawn({ argv, timeoutMs: COMPILE_MS });
    complaint = done.exitCode === 0 ? await whyNotRun(host, program) : complaintOf(done);
    if (complaint !== "") continue;
    note(`the floor is a ${name} C program, compiled by ${compiler.join(" ")}`);
    return program;
  }
  note(`the floor is left out, since ${compiler.join(" ")} made no program of it: ${complaint}; ${HINT}`);
  return null;
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}

function firstOf(host: Context["host"]): string[] | null {
  const found = COMPILERS.find((name) => host.findProgram(name) !== null);
  return found === undefined ? null : [found];
}

/** Empty when it runs. */
async function whyNotRun(host: Context["host"], program: string): Promise<string> {
  try {
    const done = await host.spawn({ argv: floorArgv(program, "nothing") });
    return done.exitCode === 0 ? "" : `it ended with ${done.exitCode}`;
  } catch (error) {
    if (!(error instanceof HostError) || error instanceof OverdueError) throw error;
    return error.message;
  }
}

function complaintOf({ stderr, exitCode, timedOut }: Finished): string {
  if (timedOut) return `it took longer than ${COMPILE_MS / 1_000} s`;
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  return lines.slice(0, LINES).join(" / ") || `exit ${exitCode}`;
}
