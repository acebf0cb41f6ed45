import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { findProcesses, stopDaemon } from "../../host/daemon.ts";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { HOST, type NetnsPath, type Operation, type Step } from "../../plan/step.ts";
import type { Context } from "./context.ts";

/** Where one part of a run has its files and namespaces; all of it goes with the part. */
export interface Scratch {
  /** A folder on a disk, as a node's /var/lib is. */
  readonly disk: string;
  /** A folder in memory, as a node's /run is. */
  readonly memory: string;
  /** Makes namespaces, with nothing in them; their paths, in the order of the names. */
  addNamespaces(names: readonly string[]): Promise<NetnsPath[]>;
}

/** Every name of ours begins so, then comes the PID of the run that made it. */
const MARK = "mbench-";
/** Folders are made in here; /tmp is memory on some systems. */
const DISK = "/var/tmp";
const MEMORY = "/run";
const NAMESPACES = "/run/netns";

/**
 * Runs `work` with a place for files and namespaces. They are removed whatever happens, and so is what a run left that
 * was killed. Throws HostError without root.
 */
export async function withScratch<T>(
  { host, cleaner }: Pick<Context, "host" | "cleaner">,
  work: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  if (process.getuid?.() !== 0) throw new HostError("it makes network namespaces", "run it as root");
  const prefix = `${MARK}${process.pid}-`;
  await endOrphans();
  await sweep(cleaner, isDead);
  const [disk, memory] = [`${DISK}/${prefix}disk`, `${MEMORY}/${prefix}memory`];
  try {
    for (const folder of [disk, memory]) mkdirSync(folder, { mode: 0o700 });
    return await work({
      disk,
      memory,
      addNamespaces: async (names) => {
        const paths = names.map((name) => `${NAMESPACES}/${prefix}${name}`);
        await host.execute(names.map((name) => describe({ op: "netns.add", name: `${prefix}${name}` })));
        return paths;
      },
    });
  } finally {
    await sweep(cleaner, (pid) => pid === process.pid);
  }
}

function describe(operation: Operation): Step {
  return { ...operation, netns: HOST, why: "a place of its own for the benchmark" };
}

/** Ends agents of runs that were killed: nobody else names the folder of such a run. */
async function endOrphans(): Promise<void> {
  const folder = new RegExp(`^(?:${DISK}|${MEMORY})/${MARK}([0-9]+)-`);
  const isOrphan = (word: string) => {
    const pid = folder.exec(word)?.[1];
    return pid !== undefined && isDead(Number(pid));
  };
  for (const found of findProcesses()) if (found.argv.some(isOrphan)) await stopDaemon(found, 0);
}

/** Removes what the chosen runs left. */
async function sweep(cleaner: Host, isChosen: (pid: number) => boolean): Promise<void> {
  const ours = (folder: string) =>
    (existsSync(folder) ? readdirSync(folder) : []).filter((name) => {
      const pid = new RegExp(`^${MARK}([0-9]+)-`).exec(name)?.[1];
      return pid !== undefined && isChosen(Number(pid));
    });
  const namespaces = ours(NAMESPACES);
  if (namespaces.length > 0) {
    await cleaner.execute(namespaces.map((name) => describe({ op: "netns.del", name })));
  }
  for (const folder of [DISK, MEMORY]) {
    for (const name of ours(folder)) rmSync(`${folder}/${name}`, { recursive: true, force: true });
  }
}

function isDead(pid: number): boolean {
  return !existsSync(`/proc/${pid}`);
}
