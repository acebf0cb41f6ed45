import { createDeadline } from "../../host/deadline.ts";
import { HostError, messageOf } from "../../host/errors.ts";
import { createHost } from "../../host/linux.ts";
import type { Host } from "../../host/machine.ts";
import type { Stdin } from "../../host/stdin.ts";
import { HOST, type NetnsPath, type Operation, type Step } from "../../plan/step.ts";
import { bridgeLock, LOCK_TIMEOUT_MS } from "../bridge.ts";
import { type Answer, answerCni } from "../cni.ts";
import { bridgeOf, type ProbeNetwork, stateDirOf } from "./probe-network.ts";

/** The verbs that a pod sees in its life. */
export const PROBE_VERBS = ["ADD", "CHECK", "DEL"] as const;
/** One of them. */
export type ProbeVerb = (typeof PROBE_VERBS)[number];

/** The interface of a probe's pod in its sandbox. */
export const PROBE_IFNAME = "eth0";

/** What a probe's pod is made of. */
export interface ProbePodOptions {
  /** Says in names who made it: `minicni-trace-1f2e3d4c`. */
  readonly purpose: string;
  readonly network: ProbeNetwork;
  /** Where delegated plugins are (CNI_PATH). */
  readonly binDir: string;
  /** A namespace that is there and stays; null: one of its own is made. */
  readonly sandbox: NetnsPath | null;
}

/** A sandbox that nobody else knows of. */
export interface ProbePod {
  readonly containerId: string;
  readonly netns: NetnsPath;
  /**
   * Calls the plugin in this process, as its binary does; CHECK and DEL get the last ADD's result. `wrap`: what the verb
   * sees of the machine. Throws OverdueError once the command was interrupted.
   */
  call(verb: ProbeVerb, wrap?: (host: Host) => Host): Promise<Answer>;
  /** What a runtime gives a program for a verb; who runs one with ADD tells by `isAttached`, before, and with DEL after. */
  request(verb: ProbeVerb): { readonly env: Readonly<Record<string, string>>; readonly stdin: string };
  /** What was attached by other means than {@link ProbePod.call}: `result` is the document of its ADD. */
  attached(result: string | null): void;
}

/** Throws HostError without root: a sandbox is a network namespace. */
export function requireRoot(what: string): void {
  if (process.getuid?.() === 0) return;
  throw new HostError(`${what}, which needs root`, "run it as root, on the node or in its agent's pod");
}

/**
 * Runs `work` with a sandbox. Whatever happens (an interruption by `host.deadline` as well) the attachment is taken back by
 * a DEL, the namespace goes, and a bridge that was not there before. Throws HostError that names what could not be removed.
 */
export async function withProbePod<T>(
  options: ProbePodOptions,
  host: Host,
  work: (pod: ProbePod) => Promise<T>,
): Promise<T> {
  const { network, sandbox } = options;
  const name = `minicni-${options.purpose}-${crypto.randomUUID().slice(0, 8)}`;
  const netns = sandbox ?? `/run/netns/${name}`;
  const cleaner = createHost();
  const bridge = bridgeOf(network);
  const hadBridge = cleaner.link(bridge) !== null;
  let result: unknown;
  let isAttached = false;
  const request = (verb: ProbeVerb) => {
    const conf =
      verb === "ADD" || result === undefined ? network.conf : { ...network.conf, prevResult: result };
    return { env: describeCall(verb, name, netns, options), stdin: JSON.stringify(conf) };
  };
  const attached = (text: string | null) => {
    isAttached = text !== null;
    result = text === null || text === "" ? undefined : JSON.parse(text);
  };
  const call = async (verb: ProbeVerb, machine: Host): Promise<Answer> => {
    const { env, stdin } = request(verb);
    if (verb === "ADD") isAttached = true;
    const answer = await answerCni(env, readText(stdin), machine);
    if (answer.exitCode === 0 && verb !== "CHECK") attached(verb === "ADD" ? answer.stdout : null);
    return answer;
  };
  const pod: ProbePod = {
    containerId: name,
    netns,
    request,
    attached,
    call: async (verb, wrap = (machine) => machine) => {
      host.deadline.check(`the ${verb} of ${name}`);
      // Each verb has its own time, as in a process of its own.
      const deadline = createDeadline(Number.POSITIVE_INFINITY);
      const stop = host.deadline.onInterrupt(() => deadline.interrupt("the command was interrupted"));
      try {
        return await call(verb, wrap(createHost(deadline, { log: host.log })));
      } finally {
        stop();
      }
    },
  };
  const left: string[] = [];
  const takeBack = async () => {
    const remove = async (what: string, remedy: string, removal: () => Promise<unknown>) => {
      try {
        await removal();
      } catch (error) {
        left.push(`${what}: ${messageOf(error)} (${remedy})`);
      }
    };
    if (isAttached) {
      await remove(
        `attachment ${name}`,
        "the runtime's next GC, or minicni uninstall, takes it away",
        async () => {
          const answer = await call(
            "DEL",
            createHost(createDeadline(Number.POSITIVE_INFINITY), { log: host.log }),
          );
          if (answer.exitCode !== 0) throw new Error(answer.stdout);
        },
      );
    }
    if (sandbox === null && cleaner.observeFile(netns) !== null) {
      await remove(`namespace ${netns}`, `ip netns del ${name}`, () =>
        cleaner.execute([describe({ op: "netns.del", name })]),
      );
    }
    if (!hadBridge) {
      await remove(`bridge ${bridge}`, `ip link del ${bridge}`, () => removeBridge(bridge, network, cleaner));
    }
  };
  try {
    if (sandbox === null) await host.execute([describe({ op: "netns.add", name })]);
    const done = await work(pod);
    await takeBack();
    if (left.length > 0) throw new HostError(`left behind: ${left.join("; ")}`, "remove it by hand");
    return done;
  } catch (error) {
    if (left.length === 0) {
      await takeBack();
      for (const line of left) host.log(`left behind: ${line}`);
    }
    throw error;
  }
}

function describeCall(
  verb: ProbeVerb,
  containerId: string,
  netns: NetnsPath,
  { binDir, purpose }: ProbePodOptions,
): Record<string, string> {
  return {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: PROBE_IFNAME,
    CNI_PATH: binDir,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=minicni;K8S_POD_NAME=${purpose}`,
  };
}

/** One that our own ADD made, and that nobody has used since: under the lock of those who make bridges. */
async function removeBridge(name: string, network: ProbeNetwork, host: Host): Promise<void> {
  if (host.link(name) === null) return;
  const lock = bridgeLock(stateDirOf(network));
  await host.withLock(lock, LOCK_TIMEOUT_MS, async () => {
    const bridge = host.link(name);
    const isUsed = bridge === null || host.links().some(({ masterIndex }) => masterIndex === bridge.index);
    if (!isUsed) await host.execute([describe({ op: "link.del", name })]);
  });
}

function describe(operation: Operation): Step {
  return { ...operation, netns: HOST, why: "a sandbox of its own" };
}

function readText(text: string): Stdin {
  return { read: async () => text, peek: async () => text };
}
