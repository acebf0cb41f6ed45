import { hasNoAddresses, type NetConf } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import { messageOf } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { type Prefix, parsePrefix } from "../net/prefix.ts";

/** Not there in a kernel that runs without IPv6. */
export const IPV6_FORWARDING = "/proc/sys/net/ipv6/conf/all/forwarding";

/** Seconds that an ADD waits for the agent unless `agentWait` says otherwise: an agent needs about one to start. */
const DEFAULT_WAIT_S = 5;
/** Between two looks, in milliseconds. */
const PAUSE_MS = 50;

/** What the agent published about this node in `<stateDir>/node.json`. */
export interface PublishedNode {
  readonly path: string;
  /** As text: they are parsed, and refused by name, with all other ranges. */
  readonly podCidrs: readonly string[];
  /** Where pods of the whole cluster live: traffic to these keeps its source address. */
  readonly clusterCidrs: readonly Prefix[];
  /** Bytes that a pod's link may have on this node network; null: not told. */
  readonly mtu: number | null;
  /** Null: ready; else why not. */
  readonly notReady: string | null;
}

/** Why node.json is of no use to an ADD, and what to do; or what it says. */
export type NodeAnswer =
  | { readonly node: PublishedNode; readonly fault: null }
  | { readonly node: null; readonly fault: string; readonly hint: string };

/** Where the agent publishes. */
export function nodePath(stateDir: string): string {
  return `${stateDir}/node.json`;
}

/** Held by the agent of a node as long as it runs. */
export function agentLock(stateDir: string): string {
  return `${stateDir}/agent.lock`;
}

/** Whether pods of this configuration get their addresses from the agent's pod CIDRs. */
export function needsAgent({ raw }: NetConf): boolean {
  return !raw.ipam && !hasNoAddresses(raw) && !raw.runtimeConfig?.ipRanges?.length;
}

/** Reads node.json for an ADD without an `ipam` section. Throws code 11 while the agent is not ready. */
export function readNode(stateDir: string, host: Host): PublishedNode {
  const answer = askNode(stateDir, host);
  if (answer.node !== null) return answer.node;
  throw new CniError(CNI_CODE.tryAgainLater, answer.fault, answer.hint);
}

/** What node.json says, if it says that pods can have addresses. Never throws for what is in the file. */
export function askNode(stateDir: string, host: Host): NodeAnswer {
  const path = nodePath(stateDir);
  const refused = (fault: string, hint: string) => ({ node: null, fault, hint }) as const;
  const text = host.readFile(path);
  if (text === null) return refused(`not ready: no ipam in the configuration and no ${path}`, WAIT);
  const value = parseObject(text);
  if (value === null) return refused(damage(path), RESTART);
  if (isOfAnotherBoot(value, host)) {
    return refused(`not ready: ${path} is of another boot, and the agent has not spoken since`, WAIT);
  }
  const node = toNode(value, path);
  if (node.notReady !== null) {
    return refused(`not ready: ${node.notReady}`, `the agent says so in ${path}; see its log`);
  }
  if (node.podCidrs.length === 0) {
    const hint = "does the Node have spec.podCIDRs? see --allocate-node-cidrs of kube-controller-manager";
    return refused(`not ready: ${path} names no pod CIDR`, hint);
  }
  return { node, fault: null };
}

/** Reads node.json where there is one of this boot; null without. Throws code 11 when it is damaged. */
export function findNode(stateDir: string, host: Host): PublishedNode | null {
  const path = nodePath(stateDir);
  const text = host.readFile(path);
  if (text === null) return null;
  const value = parseObject(text);
  if (value === null) throw new CniError(CNI_CODE.tryAgainLater, damage(path), RESTART);
  return isOfAnotherBoot(value, host) ? null : toNode(value, path);
}

/** As {@link findNode}, for those who can do without: what is damaged is told in the log, and counts as absent. */
export function findPublished(stateDir: string, host: Host): PublishedNode | null {
  try {
    return findNode(stateDir, host);
  } catch (error) {
    host.log(`${messageOf(error)}: going on without it`);
    return null;
  }
}

/**
 * Gives an agent that is about to come up the time that the configuration allows (`agentWait`); returns then, ready or
 * not, so that what is missing is told as always. No lock may be held. Throws when the call's own time is over.
 */
export async function awaitNode(conf: NetConf, host: Host): Promise<void> {
  if (!needsAgent(conf)) return;
  const waitMs = (conf.raw.agentWait ?? DEFAULT_WAIT_S) * 1000;
  for (let waitedMs = 0; ; waitedMs += PAUSE_MS) {
    const { fault } = askNode(conf.stateDir, host);
    if (fault === null || waitedMs >= waitMs) return;
    host.deadline.check(`waiting for the minicni agent (${fault})`);
    await host.sleep(PAUSE_MS);
  }
}

const WAIT = "wait for the minicni agent of this node (is its pod running?), or configure ipam";
const RESTART = "the minicni agent of this node writes it again within seconds: see its log";

function damage(path: string): string {
  return `${path} is not a JSON object`;
}

/** After a reboot the file of before may still be there: what it says was true of links and routes that are gone. */
function isOfAnotherBoot(value: object, host: Host): boolean {
  return "bootId" in value && typeof value.bootId === "string" && value.bootId !== host.bootId();
}

function toNode(value: object, path: string): PublishedNode {
  const isReady = !("ready" in value) || value.ready !== false;
  const reason = "reason" in value && value.reason ? String(value.reason) : "the agent says so";
  return {
    path,
    podCidrs: strings("podCidrs" in value ? value.podCidrs : null),
    clusterCidrs: strings("clusterCidrs" in value ? value.clusterCidrs : null).flatMap(
      (cidr) => parsePrefix(cidr) ?? [],
    ),
    mtu: "mtu" in value ? parseMtu(value.mtu) : null,
    notReady: isReady ? null : reason,
  };
}

/** 68 bytes are the least that IPv4 allows (RFC 791); 65535 the most a veth takes. 0 stands for "not known". */
function parseMtu(value: unknown): number | null {
  const isUsable = typeof value === "number" && Number.isInteger(value) && value >= 68 && value <= 65535;
  return isUsable ? value : null;
}

function parseObject(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
