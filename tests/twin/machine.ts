import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { createDeadline } from "../../src/host/deadline.ts";
import { ExecuteError } from "../../src/host/errors.ts";
import type { Finished, Host, SpawnRequest } from "../../src/host/machine.ts";
import { formatPlan, formatStep } from "../../src/plan/format.ts";
import type { ObservedAddress, ObservedLink } from "../../src/plan/state.ts";
import { HOST, type Plan, type Step } from "../../src/plan/step.ts";
import { listMemory, listReal, readReal } from "./files.ts";

/** A machine in memory; only files below `root` are real, because the reservation store links them itself. */
export interface FakeMachine extends Host {
  /** Every plan that was run, as text. */
  readonly executed: string[];
  /** The argv of every child, in one line. */
  readonly spawned: string[];
  readonly logged: string[];
  readonly linksByName: Map<string, ObservedLink>;
  /** Files outside of `root`, by path. */
  readonly files: Map<string, string>;
  /** Device and inode by path of a namespace. */
  readonly namespaces: Map<string, string>;
  /** A step this says yes to fails, and with it its plan. */
  failOn: (step: Step) => boolean;
  /** What a child leaves; by default it fails in silence, as `iptables -C` does for a missing rule. */
  answer: (request: SpawnRequest) => Partial<Finished>;
}

const FORWARDING = 3;

/** A link with the least a link has, and what is given. */
export function fakeLink(known: Partial<ObservedLink>): ObservedLink {
  return {
    index: 1,
    name: "",
    alias: "",
    kind: "",
    up: false,
    promisc: false,
    mtu: 1500,
    mac: "",
    masterIndex: null,
    portState: null,
    hairpin: null,
    isolated: null,
    vlanFiltering: null,
    vxlan: null,
    ...known,
  };
}

/** A machine of boot `boot-1` with nothing but its own namespace and `/run/netns/c1`. */
export function createFakeMachine(root: string): FakeMachine {
  const addresses = new Map<number, ObservedAddress[]>();
  const isReal = (path: string) => path.startsWith(`${root}/`);
  let lastIndex = 1;

  const addLink = (name: string, kind: string, mac: string, mtu: number) => {
    lastIndex++;
    machine.linksByName.set(name, fakeLink({ index: lastIndex, name, kind, mtu, mac }));
    addresses.set(lastIndex, []);
  };
  const apply = (step: Step) => {
    if (step.netns !== HOST) return;
    if (step.op === "link.add")
      addLink(step.link.name, step.link.kind, step.link.mac ?? "", step.link.mtu ?? 1500);
    if (step.op === "link.del") machine.linksByName.delete(step.name);
    if (step.op === "sysctl.set") machine.files.set(`/proc/sys/${step.key}`, `${step.value}\n`);
    if (step.op === "link.set") {
      const link = machine.linksByName.get(step.name);
      const master = step.set.master === undefined ? undefined : machine.linksByName.get(step.set.master);
      if (link === undefined) return;
      const port = master === undefined ? {} : { masterIndex: master.index, portState: FORWARDING };
      const { up = link.up, alias = link.alias, port: flags } = step.set;
      const hairpin = flags?.hairpin ?? link.hairpin;
      machine.linksByName.set(step.name, { ...link, up, alias, hairpin, ...port });
    }
    if (step.op === "addr.replace") {
      const link = machine.linksByName.get(step.dev);
      if (link !== undefined) addresses.get(link.index)?.push({ prefix: step.prefix, linkLocal: false });
    }
  };
  const takeBack = (done: readonly Step[]) => {
    for (const { undo } of done.toReversed())
      if (undo?.op === "link.del") machine.linksByName.delete(undo.name);
  };

  const machine: FakeMachine = {
    executed: [],
    spawned: [],
    logged: [],
    linksByName: new Map(),
    links: () => [...machine.linksByName.values()],
    files: new Map([
      ["/proc/sys/net/ipv4/ip_forward", "0\n"],
      ["/proc/sys/net/ipv6/conf/all/forwarding", "1\n"],
    ]),
    namespaces: new Map([
      ["/proc/self/ns/net", "4:1"],
      ["/run/netns/c1", "4:2"],
    ]),
    failOn: () => false,
    answer: () => ({}),
    deadline: createDeadline(Number.POSITIVE_INFINITY),
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
        apply(step);
      }
    },
    link: (name) => machine.linksByName.get(name) ?? null,
    addresses: (index) => addresses.get(index) ?? [],
    routeMtu: () => 1450,
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
    trackedConnections: () => 0,
    isFile: (path) => machine.files.has(path) || (isReal(path) && existsSync(path)),
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
