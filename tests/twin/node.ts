import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { createDeadline } from "../../src/host/deadline.ts";
import { ExecuteError } from "../../src/host/errors.ts";
import type { Host } from "../../src/host/machine.ts";
import { formatStep } from "../../src/plan/format.ts";
import type { Plan, Step } from "../../src/plan/step.ts";
import { listMemory, listReal, readReal } from "./files.ts";
import type { Fuse } from "./fuse.ts";
import { FakeKernel, Refused } from "./kernel.ts";
import { createFakeMachine } from "./machine.ts";

/** A node in memory that can be rebooted, and whose calls can be ended anywhere; only files below `root` are real. */
export interface FakeNode {
  readonly kernel: FakeKernel;
  /** Files outside of `root`, by path. */
  readonly files: Map<string, string>;
  readonly logged: string[];
  /** The machine as one call sees it, with a time of its own. */
  host(): Host;
  /** Another boot ID, no links, no rules, nothing below /run; what is below `root` is older than this boot. */
  reboot(): void;
}

/** A node of boot `boot-1`; every change is an effect of the fuse. */
export function createFakeNode(root: string, fuse: Fuse): FakeNode {
  const files = new Map<string, string>();
  const logged: string[] = [];
  let kernel = new FakeKernel();
  let boot = 1;
  let bootMs = 0;
  const isReal = (path: string) => path.startsWith(`${root}/`);
  const read = (path: string) => {
    if (path === "/proc/uptime") return `${(Date.now() - bootMs) / 1000} 0.00\n`;
    if (path.startsWith("/proc/sys/")) return kernel.sysctls.get(path) ?? null;
    return isReal(path) ? readReal(path) : (files.get(path) ?? null);
  };
  const execute = (plan: Plan) => {
    const done: Step[] = [];
    for (const step of plan) {
      fuse.touch();
      try {
        kernel.apply(step);
        done.push(step);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        for (const { undo, netns } of [...done, ...(step.isAtomic === true ? [] : [step])].toReversed()) {
          if (undo !== undefined) quietly(() => kernel.apply({ ...undo, netns }));
        }
        throw new ExecuteError(step, formatStep(step), error.message, "a hint");
      }
    }
  };
  // What has nothing to do with links, files and rules is as on any fake machine.
  const base = createFakeMachine(root);
  const host = (): Host => ({
    ...base,
    deadline: createDeadline(Number.POSITIVE_INFINITY),
    spawn: async (request) => {
      fuse.look();
      return kernel.answer(request);
    },
    execute: async (plan) => execute(plan),
    executeEach: async (plan) =>
      plan.flatMap((step) => {
        fuse.touch();
        try {
          kernel.apply(step);
          return [];
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          return [{ step, command: formatStep(step), message: error.message }];
        }
      }),
    shaping: (index) => kernel.shaping.of(index),
    link: (name) => {
      fuse.look();
      return kernel.links.get(name) ?? null;
    },
    links: () => [...kernel.links.values()],
    addresses: (index) => kernel.addresses.get(index) ?? [],
    isFile: (path) => files.has(path) || kernel.sysctls.has(path),
    readFile: (path) => {
      fuse.look();
      return read(path);
    },
    // Another name first, then renamed, as the real one: a killed writer leaves the other name.
    writeFile: (path, text) => {
      fuse.touch();
      files.set(`${path}.tmp`, text);
      fuse.touch();
      files.delete(`${path}.tmp`);
      files.set(path, text);
    },
    removeFile: (path) => {
      fuse.touch();
      files.delete(path);
      fuse.touch();
      files.delete(`${path}.tmp`);
    },
    listFolder: (path) => (isReal(path) ? listReal(path) : listMemory(files, path)),
    withLock: async (path, _timeoutMs, work) => {
      fuse.look();
      if (isReal(path)) mkdirSync(dirname(path), { recursive: true });
      return work();
    },
    isNetns: (path) => kernel.sandboxes.has(path),
    namespaceId: (path) => (path === "/proc/self/ns/net" ? "4:1" : (kernel.sandboxes.get(path)?.id ?? null)),
    bootId: () => `boot-${boot}`,
    log: (line) => {
      logged.push(line);
    },
  });
  return {
    get kernel() {
      return kernel;
    },
    files,
    logged,
    host,
    reboot: () => {
      kernel = new FakeKernel();
      for (const path of [...files.keys()]) if (path.startsWith("/run/")) files.delete(path);
      boot++;
      // The disk's clock is a few milliseconds behind, or ahead by a fraction of one.
      bootMs = Date.now() + 10;
    },
  };
}

function quietly(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}
