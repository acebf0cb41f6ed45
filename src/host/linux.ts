import { readdirSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { flushConnections, trackedConnections } from "./conntrack.ts";
import { createDeadline, type Deadline } from "./deadline.ts";
import { executePlan } from "./execute.ts";
import { executeEach } from "./execute-each.ts";
import { digestFile, observeFile } from "./file-steps.ts";
import { probeFolder, replaceFile, temporaryOf, unlessMissing } from "./files.ts";
import { observeAddresses, observeLink, observeLinks, observeRouteMtu } from "./links.ts";
import { withAttachmentLock, withLock } from "./lock.ts";
import type { Host } from "./machine.ts";
import { watchKernel } from "./monitor.ts";
import { observeForwarding, observeNeighbours } from "./neighbours.ts";
import { isNetns } from "./netns.ts";
import { observeTxChecksum } from "./offload.ts";
import { lookupRoutes, observeRouteTable } from "./routes.ts";
import { FALLBACK_PATH, spawn } from "./spawn.ts";

/** The real machine, for a call that may take as long as `deadline` says (by default: as long as it takes). */
export function createHost(deadline: Deadline = createDeadline(Number.POSITIVE_INFINITY)): Host {
  return {
    deadline,
    spawn: (request) => spawn(request, deadline),
    execute: (plan) => executePlan(plan, deadline),
    executeEach: (plan) => executeEach(plan, deadline),
    link: observeLink,
    links: observeLinks,
    addresses: observeAddresses,
    routeMtu: observeRouteMtu,
    routeTable: observeRouteTable,
    lookupRoutes,
    forwarding: observeForwarding,
    neighbours: observeNeighbours,
    txChecksum: observeTxChecksum,
    watchKernel,
    flushConnections,
    trackedConnections,
    isFile: (path) => unlessMissing(() => statSync(path).isFile()) ?? false,
    observeFile,
    digestFile,
    findProgram: (name) => Bun.which(name, { PATH: process.env.PATH || FALLBACK_PATH }),
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
    isNetns: (path) => unlessMissing(() => isNetns(path)) ?? false,
    namespaceId: (path) => {
      try {
        const found = statSync(path);
        return `${found.dev}:${found.ino}`;
      } catch {
        // A path that can't even be looked at (ENAMETOOLONG, ELOOP, EACCES) is as good as none.
        return null;
      }
    },
    bootId: () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    sleep: (milliseconds) => Bun.sleep(milliseconds),
    log: (line) => {
      try {
        writeSync(2, `minicni: ${line}\n`);
      } catch {
        // Nobody reads it (EPIPE): no reason to fail in what is being told.
      }
    },
  };
}
