import { delegateOf } from "../../cni/config.ts";
import type { Command } from "../../cni/request.ts";
import { type HandedCall, listenForCalls, type Served } from "../../host/calls/listen.ts";
import { createDeadline, UNDO_TIME_MS } from "../../host/deadline.ts";
import { messageOf } from "../../host/errors.ts";
import { createHost, type HostOptions } from "../../host/linux.ts";
import type { Host } from "../../host/machine.ts";
import { createLinkRemover } from "../../host/netlink/remover.ts";
import { duplicateDescriptor } from "../../host/netns.ts";
import { readRecord } from "../../host/records.ts";
import { widenThreadPool } from "../../host/thread-pool.ts";
import { addressSource } from "../addresses.ts";
import { attachmentLock, type Call, formatKey } from "../call.ts";
import { type Answer, answerCni, DEADLINE_MS, PLUGIN, type Verbs } from "../cni.ts";
import { detach } from "../detach.ts";
import { removeForgottenMasquerade } from "../masquerade.ts";
import { createQuiet } from "./quiet.ts";
import { needsOwnFiles } from "./reach.ts";

/** Where launchers look for the agent of a node. */
export function callSocket(stateDir: string): string {
  return `${stateDir}/cni.sock`;
}

/** Threads that can wait for the kernel at once: a removed link holds one for some 15 ms, and there are a few each 15 ms. */
const THREADS = 16;
/** How long an ending agent waits for calls under way; what is not done then is taken back. */
const CLOSING_MS = 5_000;

/** Rules of a network whose last pod went stay so long, in milliseconds: the next pod would make them again. */
const QUIET_MS = 1_000;
/** What such work may take. */
const LATER_MS = 30_000;

/** What became of a call: declined ones are left to the binary, lost ones were taken back. */
export const OUTCOMES = ["ok", "error", "declined", "lost"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Who is told of calls. */
export interface CallVoices {
  /** One call came to its end; `seconds`: from its request on. */
  served(command: string, outcome: Outcome, seconds: number): void;
  /** Something that a person should know. */
  log(line: string): void;
}

/** Settings of {@link openCalls}. */
export interface CallSettings {
  readonly stateDir: string;
  /** How long what nobody waits for is put off, in milliseconds; null: not at all, each call does all of it. */
  readonly quietMs?: number | null;
}

/**
 * Serves CNI calls that launchers hand over, with the code that the binary would run for them: what it writes is the same,
 * and so are the locks, so that both may run at any time. Throws HostError when it can't listen.
 */
export function openCalls(
  { stateDir, quietMs = QUIET_MS }: CallSettings,
  voices: CallVoices,
): { close(): Promise<void> } {
  widenThreadPool(THREADS);
  const remover = createLinkRemover();
  const own = createHost();
  const openLater = () => createHost(createDeadline(LATER_MS), { log: voices.log });
  const quiet = createQuiet(quietMs ?? 0, openLater, voices.log);
  // What an agent that was killed had left for later.
  quiet.defer(stateDir, (host) => removeForgottenMasquerade(stateDir, host));
  const home = { net: own.namespaceId("/proc/self/ns/net"), mnt: own.namespaceId("/proc/self/ns/mnt") };
  const running = new Map<HandedCall, (why: string) => void>();
  const answers = new WeakMap<HandedCall, Answer>();

  const serve = async (handed: HandedCall): Promise<Served> => {
    const began = performance.now();
    const command = handed.variables.CNI_COMMAND ?? "";
    const tell = (outcome: Outcome) => voices.served(command, outcome, (performance.now() - began) / 1000);
    // Links and rules would be those of another node.
    if (handed.namespaces.net !== home.net) {
      tell("declined");
      return null;
    }
    const isAtHome = handed.namespaces.mnt === home.mnt;
    const defer = quietMs === null ? undefined : quiet.defer;
    const host = openHost(handed, { remover, defer }, (line) => voices.log(`${describe(handed)}: ${line}`));
    handed.onGone(() => host.deadline.interrupt("who called went away"));
    let isDeclined = false;
    let made = NO_RECORD;
    const verbs: Verbs = {
      ...PLUGIN,
      run: async (name: Command, call: Call, machine: Host) => {
        isDeclined = isOverlong(name, call) || !isReachable(call, isAtHome, stateDir, machine);
        if (isDeclined) return "";
        const result = await PLUGIN.run(name, call, machine);
        if (name === "ADD") made = recordOf(call, machine);
        return result;
      },
      takeBack: (call, machine) => takeBack(call, machine, made),
    };
    const stdin = { read: async () => handed.stdin, peek: async () => handed.stdin };
    const answer = answerCni(handed.variables, stdin, host, verbs);
    running.set(handed, host.deadline.interrupt);
    try {
      const { exitCode, stdout, takeBack } = await answer;
      if (isDeclined) {
        tell("declined");
        return null;
      }
      tell(exitCode === 0 ? "ok" : "error");
      // The launcher's own output ends with a line break, as that of the binary does.
      const text = stdout === "" ? "" : `${stdout}\n`;
      if (takeBack !== undefined && exitCode === 0) answers.set(handed, { exitCode, stdout: text, takeBack });
      return { exitCode, stdout: text };
    } finally {
      running.delete(handed);
    }
  };
  /** To its caller an ADD without a result has failed, and a failed one leaves nothing. */
  const onLost = async (handed: HandedCall) => {
    const { takeBack } = answers.get(handed) ?? {};
    if (takeBack === undefined) return;
    voices.served(handed.variables.CNI_COMMAND ?? "", "lost", 0);
    voices.log(`${describe(handed)}: who called went away without its result: taken back`);
    try {
      await takeBack();
    } catch (error) {
      voices.log(`${describe(handed)}: not taken back: ${messageOf(error)}`);
    }
  };
  const listener = listenForCalls(callSocket(stateDir), { serve, onLost });
  return {
    close: async () => {
      listener.close();
      await Promise.race([listener.settled(), atMost(CLOSING_MS)]);
      for (const interrupt of running.values()) interrupt("the agent is ending");
      await Promise.race([listener.settled(), atMost(UNDO_TIME_MS)]);
      await quiet.finish();
    },
  };
}

/** Resolves after so many milliseconds, and is no reason for the process to stay. */
function atMost(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}

const NO_RECORD = "null";

/** The record of an attachment as text: the host's end of each veth pair has a MAC of its own. */
function recordOf({ conf, key }: Call, host: Host): string {
  return JSON.stringify(readRecord(host, conf.stateDir, key));
}

/** Undoes an ADD, unless its caller has had it undone meanwhile: what is there then is a later ADD's. */
async function takeBack(call: Call, host: Host, made: string): Promise<void> {
  host.deadline.renew(UNDO_TIME_MS);
  const { conf, key } = call;
  const work = async () => {
    if (recordOf(call, host) !== made) return;
    const record = readRecord(host, conf.stateDir, key);
    await detach(call, record, addressSource(call, host, record), host);
  };
  await host.withAttachmentLock(attachmentLock(conf), formatKey(key), work, { isOptional: true });
}

/** The machine as the caller sees it: the sandbox's path leads to the namespace that it opened. */
function openHost(
  handed: HandedCall,
  { remover, defer }: Pick<HostOptions, "remover" | "defer">,
  log: (line: string) => void,
): Host {
  const path = handed.variables.CNI_NETNS ?? "";
  return createHost(createDeadline(UNDO_TIME_MS), {
    ...(remover === undefined ? {} : { remover }),
    ...(defer === undefined ? {} : { defer }),
    log,
    open: (wanted, byPath) => {
      if (wanted !== path) return byPath(wanted);
      if (handed.netns === null) throw new MissingNetns(path);
      return duplicateDescriptor(handed.netns);
    },
  });
}

/** As open(2) says it. */
class MissingNetns extends Error {
  readonly code = "ENOENT";
  constructor(path: string) {
    super(`ENOENT: ${path} could not be opened where the call was made`);
  }
}

function describe({ variables }: HandedCall): string {
  const { CNI_COMMAND = "", CNI_CONTAINERID = "", CNI_IFNAME = "" } = variables;
  return `${CNI_COMMAND} ${CNI_CONTAINERID} ${CNI_IFNAME}`.trimEnd();
}

/** The launcher waits a little longer than a call may take by default, and not longer than that. */
function isOverlong(command: Command, { conf: { deadline } }: Call): boolean {
  return deadline !== null && deadline * 1000 > DEADLINE_MS[command];
}

/** Whether all that the call is about is the same from here as from where it was made. */
function isReachable(call: Call, isAtHome: boolean, stateDir: string, host: Host): boolean {
  const { conf } = call;
  // Another plugin wants the whole environment of the runtime, and its folder.
  if (conf.stateDir !== stateDir || delegateOf(conf) !== null) return false;
  return isAtHome || !needsOwnFiles(conf, host);
}
