import { closeSync, fstatSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import type { NetnsPath } from "../plan/step.ts";
import { flushConnections, trackedConnections } from "./conntrack.ts";
import { createDeadline, type Deadline } from "./deadline.ts";
import { chooseEngine, type ExecutorChoice } from "./engine.ts";
import { executePlan } from "./execute.ts";
import { executeEach } from "./execute-each.ts";
import { digestFile, observeFile } from "./file-steps.ts";
import { folderOf, probeFolder, replaceFile, temporaryOf, unlessMissing } from "./files.ts";
import { isNftProgram, observeGeneration } from "./generation.ts";
import {
  observeAddresses,
  observeLink,
  observeLinks,
  observeOwnAddresses,
  observeRouteMtu,
} from "./links.ts";
import { withAttachmentLock, withLock } from "./lock.ts";
import type { Host } from "./machine.ts";
import { watchKernel } from "./monitor.ts";
import { observeForwarding, observeNeighbours } from "./neighbours.ts";
import type { LinkRemover } from "./netlink/remover.ts";
import { isNetns, type OpenNetns, openNetns } from "./netns.ts";
import { observeTxChecksum } from "./offload.ts";
import { flushPortFlows } from "./port-flows.ts";
import { lookupRoutes, observeRouteTable } from "./routes.ts";
import { observeShaping } from "./shaping.ts";
import { FALLBACK_PATH, spawn } from "./spawn.ts";

/** Ways in which a machine is another one than that of a process that was started on it. */
export interface HostOptions {
  /** How the network namespace at a path is opened; `byPath`: as always. */
  readonly open?: (path: NetnsPath, byPath: OpenNetns) => number;
  /** For a process that serves many calls: removes links while others go on. */
  readonly remover?: LinkRemover;
  /** See {@link Host.defer}. */
  readonly defer?: Host["defer"];
  /** Where what is to be told goes; by default to stderr. */
  readonly log?: (line: string) => void;
}

/** The real machine, for a call that may take as long as `deadline` says (by default: as long as it takes). */
export function createHost(
  deadline: Deadline = createDeadline(Number.POSITIVE_INFINITY),
  { open: openOther, remover, defer, log = logToStderr }: HostOptions = {},
): Host {
  let executor: ExecutorChoice = "auto";
  const open: OpenNetns = openOther === undefined ? openNetns : (path) => openOther(path, openNetns);
  const means = () => ({ deadline, open, remover, engine: chooseEngine(executor, log) });
  return {
    deadline,
    useExecutor: (choice) => {
      executor = choice;
    },
    spawn: (request) => spawn(request, deadline, open),
    execute: async (plan) => executePlan(plan, means()),
    executeEach: async (plan) => executeEach(plan, means()),
    link: observeLink,
    links: observeLinks,
    addresses: observeAddresses,
    routeMtu: observeRouteMtu,
    routeTable: observeRouteTable,
    lookupRoutes,
    forwarding: observeForwarding,
    neighbours: observeNeighbours,
    shaping: observeShaping,
    txChecksum: observeTxChecksum,
    watchKernel,
    flushConnections,
    flushPortFlows,
    ownAddresses: observeOwnAddresses,
    trackedConnections,
    rulesGeneration: (program) => {
      const path = findProgram(program);
      if (path === null || !isNftProgram(path)) return null;
      const generation = observeGeneration();
      return generation === null ? null : `${statSync("/proc/thread-self/ns/net").ino}/${generation}`;
    },
    ...(defer === undefined ? {} : { defer }),
    isFile: (path) => unlessMissing(() => statSync(path).isFile()) ?? false,
    observeFile,
    isMountPoint: (path) => unlessMissing(() => statSync(path).dev !== statSync(folderOf(path)).dev) ?? false,
    digestFile,
    findProgram,
    probeFolder,
    // Regular files only: a FIFO where a file should be would hold us for ever.
    readFile: (path) => unlessMissing(() => (statSync(path).isFile() ? readFileSync(path, "utf8") : null)),
    writeFile: replaceFile,
    removeFile: (path) => {
      rmSync(path, { force: true });
      rmSync(temporaryOf(path), { force: true });
    },
    listFolder: (path) => unlessMissing(() => readdirSync(path)) ?? [],
    withLock: (path, timeoutMs, work) => withLock(path, timeoutMs, deadline, work),
    withAttachmentLock: (path, key, work, options) =>
      withAttachmentLock(path, key, deadline, work, options?.isOptional ?? false),
    isNetns: (path) => unlessMissing(() => isNetns(path, open)) ?? false,
    namespaceId: (path) => {
      try {
        const found = open === openNetns ? statSync(path) : statOpened(path, open);
        return `${found.dev}:${found.ino}`;
      } catch {
        // A path that can't even be looked at (ENAMETOOLONG, ELOOP, EACCES) is as good as none.
        return null;
      }
    },
    bootId,
    sleep: (milliseconds) => Bun.sleep(milliseconds),
    log,
  };
}

function statOpened(path: string, open: OpenNetns) {
  const file = open(path);
  try {
    return fstatSync(file);
  } finally {
    closeSync(file);
  }
}

function findProgram(name: string): string | null {
  return Bun.which(name, { PATH: process.env.PATH || FALLBACK_PATH });
}

let knownBootId: string | null = null;

/** Read once: no process lives longer than the boot it was started in. */
function bootId(): string {
  knownBootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return knownBootId;
}

function logToStderr(line: string): void {
  try {
    writeSync(2, `minicni: ${line}\n`);
  } catch {
    // Nobody reads it (EPIPE): no reason to fail in what is being told.
  }
}
