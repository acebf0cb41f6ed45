import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { createDeadline } from "../../src/host/deadline.ts";
import { ExecuteError } from "../../src/host/errors.ts";
import type { Finished, Host, KernelHint, SpawnRequest } from "../../src/host/machine.ts";
import { hashHex } from "../../src/net/hash.ts";
import { formatPlan, formatStep } from "../../src/plan/format.ts";
import type { ObservedLink } from "../../src/plan/state.ts";
import type { Plan, Step } from "../../src/plan/step.ts";
import { applyFileStep, listMemory, listReal, observeMemory, readReal } from "./files.ts";
import { FakeNetwork } from "./network.ts";

export { fakeLink } from "./network.ts";

/** A machine in memory; only files below `root` are real, because the reservation store links them itself. */
export interface FakeMachine extends Host {
  /** Every plan that was run, as text. */
  readonly executed: string[];
  /** The argv of every child, in one line. */
  readonly spawned: string[];
  readonly logged: string[];
  /** Links, addresses, routes, forwarding entries, neighbours, shaping and offloads of our own namespace. */
  readonly network: FakeNetwork;
  /** The links of `network`. */
  readonly linksByName: Map<string, ObservedLink>;
  /** Files outside of `root`, by path. */
  readonly files: Map<string, string>;
  /** Device and inode by path of a namespace. */
  readonly namespaces: Map<string, string>;
  /** A step this says yes to fails, and with it its plan. */
  failOn: (step: Step) => boolean;
  /** What a child leaves; by default it fails in silence, as `iptables -C` does for a missing rule. */
  answer: (request: SpawnRequest) => Partial<Finished>;
  /** Tells all who watch the kernel. */
  hint: (hint: Partial<KernelHint> & Pick<KernelHint, "kind">) => void;
  /** The monitor ends for all who watch. */
  endWatch: (why: string) => void;
}

interface Watcher {
  readonly onHint: (hint: KernelHint) => void;
  readonly onEnd: (why: string) => void;
}

/** A machine of boot `boot-1` with nothing but its own namespace and `/run/netns/c1`. */
export function createFakeMachine(root: string): FakeMachine {
  const isReal = (path: string) => path.startsWith(`${root}/`);
  const files = new Map([
    ["/proc/sys/net/ipv4/ip_forward", "0\n"],
    ["/proc/sys/net/ipv6/conf/all/forwarding", "1\n"],
  ]);
  const network = new FakeNetwork(files);
  const watchers = new Set<Watcher>();
  const takeBack = (done: readonly Step[]) => {
    for (const { undo } of done.toReversed()) if (undo?.op === "link.del") network.removeLink(undo.name);
  };

  const machine: FakeMachine = {
    executed: [],
    spawned: [],
    logged: [],
    network,
    linksByName: network.links,
    links: () => [...network.links.values()],
    files,
    namespaces: new Map([
      ["/proc/self/ns/net", "4:1"],
      ["/run/netns/c1", "4:2"],
    ]),
    failOn: () => false,
    answer: () => ({}),
    deadline: createDeadline(Number.POSITIVE_INFINITY),
    useExecutor: () => undefined,
    isMountPoint: () => false,
    rulesGeneration: () => null,
    spawn: async (request) => {
      machine.spawned.push(request.argv.join(" "));
      const stderr = request.argv[0] === "nft" ? "Error: No such file or directory" : "";
      return { exitCode: 1, stdout: "", stderr, timedOut: false, ...machine.answer(request) };
    },
    execute: async (plan: Plan) => {
      machine.executed.push(formatPlan(plan));
      for (const [index, step] of plan.entries()) {
        if (machine.failOn(step)) {
          takeBack(plan.slice(0, index));
          throw new ExecuteError(
            step,
            formatStep(step),
            "RTNETLINK answers: Operation not permitted",
            "a hint",
          );
        }
        network.apply(step);
        applyFileStep(machine.files, step);
      }
    },
    executeEach: async (plan: Plan) => {
      machine.executed.push(formatPlan(plan));
      return plan.flatMap((step) => {
        const message = machine.failOn(step)
          ? "RTNETLINK answers: Operation not permitted"
          : (network.apply(step) ?? applyFileStep(machine.files, step));
        return message === null ? [] : [{ step, command: formatStep(step), message }];
      });
    },
    link: (name) => network.links.get(name) ?? null,
    addresses: (index) => network.addresses.get(index) ?? [],
    routeMtu: () => 1450,
    routeTable: () => network.routeTable(),
    lookupRoutes: (towards) => towards.map((address) => network.lookup(address)),
    forwarding: (index) => network.forwarding.get(index) ?? [],
    neighbours: (index) => network.neighbours.get(index) ?? [],
    shaping: (index) => network.shaping.of(index),
    txChecksum: (name) => network.offloads.get(name) ?? null,
    watchKernel: (onHint, onEnd) => {
      const watcher = { onHint, onEnd };
      watchers.add(watcher);
      return { close: () => watchers.delete(watcher) };
    },
    hint: (hint) => {
      for (const { onHint } of [...watchers]) onHint({ isDelete: false, dev: null, text: "", ...hint });
    },
    endWatch: (why) => {
      const ended = [...watchers];
      watchers.clear();
      for (const { onEnd } of ended) onEnd(why);
    },
    readFile: (path) => (isReal(path) ? readReal(path) : (machine.files.get(path) ?? null)),
    writeFile: (path, text) => {
      if (!isReal(path)) machine.files.set(path, text);
      else {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
      }
    },
    removeFile: (path) => {
      if (isReal(path)) rmSync(path, { force: true });
      else machine.files.delete(path);
    },
    listFolder: (path) => (isReal(path) ? listReal(path) : listMemory(machine.files, path)),
    flushConnections: () => 0,
    flushPortFlows: () => 0,
    ownAddresses: () => [],
    trackedConnections: () => 0,
    isFile: (path) => machine.files.has(path) || (isReal(path) && existsSync(path)),
    observeFile: (path) => observeMemory(machine.files, path),
    digestFile: (path) => hashHex(machine.files.get(path) ?? ""),
    findProgram: (name) => `/usr/sbin/${name}`,
    probeFolder: () => undefined,
    withLock: async (path, _timeoutMs, work) => {
      if (isReal(path)) mkdirSync(dirname(path), { recursive: true });
      return work();
    },
    withAttachmentLock: async (_path, _key, work) => work(),
    isNetns: (path) => machine.namespaces.get(path)?.startsWith("4:") ?? false,
    namespaceId: (path) => machine.namespaces.get(path) ?? null,
    bootId: () => "boot-1",
    sleep: async () => undefined,
    log: (line) => {
      machine.logged.push(line);
    },
  };
  return machine;
}
