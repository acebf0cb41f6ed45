import { openProber, type ProbeAnswer } from "../../host/echo.ts";
import { type Family, formatAddress } from "../../net/address.ts";
import type { ClusterNode } from "../../net/node.ts";
import { tunnelAddress } from "../../topology/endpoint.ts";
import { labNetns, netnsPath } from "../../topology/lab.ts";
import type { PathKind } from "./paths.ts";
import type { LabPod } from "./state.ts";

/** What is proven, in the order of the report. */
export const CHECKS = [
  "pod → own node",
  "pod → other nodes",
  "pod → pod, same node",
  "pod → pod, across nodes",
  "node → all pods",
  "full-size packet",
] as const;
export type CheckName = (typeof CHECKS)[number];

/** One probe: who asked whom, what came back. `seenSource` is measured at the receiver. */
export interface Probe {
  readonly check: CheckName;
  readonly family: Family;
  readonly from: string;
  readonly to: string;
  readonly address: string;
  /** How the sender's node reaches the address; null: it is in no pod CIDR of another node. */
  readonly path: PathKind | null;
  readonly rttMs: number | null;
  readonly seenSource: string | null;
  /** Any of these is as it should be: the sender's own, or its node's where masquerading is wanted. */
  readonly ownAddresses: readonly string[];
  /** Sent from a pod to the address of a node beyond a router, which knows no pod CIDR: the source is the pod's node. */
  readonly isMasqueraded: boolean;
  readonly ok: boolean;
}

/** One probe that is still to be asked. */
export type Question = Omit<Probe, "rttMs" | "seenSource" | "ok">;

/** Where a probe comes from or goes to. */
export interface Endpoint {
  readonly label: string;
  readonly node: string;
  readonly isPod: boolean;
  readonly netns: string;
  /** Where others reach it. */
  readonly addresses: readonly string[];
  /** What its packets may carry as source. */
  readonly sources: readonly string[];
  /** Addresses of its node on the underlay. */
  readonly nodeAddresses: readonly string[];
}

/** A first answer within this, or the probe is asked again later: a lab that is cut in two must not take minutes. */
const FIRST_TIMEOUT_MS = 100;
const TRIES = 2;
const TIMEOUT_MS = 1_000;

/** A pod as an end of probes. `node` is the one that it runs on. */
export function podEndpoint({ name, netns, addresses }: LabPod, node: ClusterNode): Endpoint {
  return {
    label: `${node.name}/${name}`,
    node: node.name,
    isPod: true,
    netns,
    addresses,
    sources: addresses,
    nodeAddresses: node.addresses.map(formatAddress),
  };
}

/**
 * A node as an end of probes. It speaks from its underlay addresses, to its own pods from the gateway addresses of its
 * bridge, and through the tunnel from its address in there.
 */
export function nodeEndpoint({ name, addresses, podCidrs }: ClusterNode, pods: readonly LabPod[]): Endpoint {
  const own = addresses.map(formatAddress);
  const gateways = podCidrs.map(({ address }) => formatAddress({ ...address, value: address.value + 1n }));
  const isTaken = (address: string) => pods.some((pod) => pod.addresses.includes(address));
  const all = [...own, ...gateways.filter((address) => !isTaken(address))];
  return {
    label: name,
    node: name,
    isPod: false,
    netns: netnsPath(labNetns(name)),
    addresses: all,
    sources: [...all, ...podCidrs.map((cidr) => formatAddress(tunnelAddress(cidr)))],
    nodeAddresses: own,
  };
}

function classify(from: Endpoint, to: Endpoint): CheckName | null {
  const isLocal = from.node === to.node;
  if (from.isPod && to.isPod) return isLocal ? "pod → pod, same node" : "pod → pod, across nodes";
  if (from.isPod) return isLocal ? "pod → own node" : "pod → other nodes";
  return to.isPod ? "node → all pods" : null;
}

/** The way from an end's node to the pods of another's, and whether it is the way to `address` as well. */
export type PathTo = (
  from: Endpoint,
  to: Endpoint,
  address: string,
) => { readonly path: PathKind; readonly isWithin: boolean } | null;

/** The family of an address that is text. */
export function familyOf(address: string): Family {
  return address.includes(":") ? 6 : 4;
}

/** What is to be asked from one end of all others. */
export function questionsOf(from: Endpoint, endpoints: readonly Endpoint[], pathTo: PathTo): Question[] {
  return endpoints.flatMap((to) => {
    const check = to === from ? null : classify(from, to);
    if (check === null) return [];
    return to.addresses.map((address) => describeQuestion(check, from, to, address, pathTo));
  });
}

/** One question from one end to an address of another. */
export function describeQuestion(
  check: CheckName,
  from: Endpoint,
  to: Endpoint,
  address: string,
  pathTo: PathTo,
): Question {
  const way = pathTo(from, to, address);
  const isMasqueraded = from.isPod && way !== null && !way.isWithin && way.path !== "direct";
  return {
    check,
    family: familyOf(address),
    from: from.label,
    to: to.label,
    address,
    path: way?.isWithin ? way.path : null,
    ownAddresses: isMasqueraded ? from.nodeAddresses : from.sources,
    isMasqueraded,
  };
}

/** A question with what came back. */
export function judge(question: Question, answer: ProbeAnswer): Probe {
  const ok = answer.seenSource !== null && question.ownAddresses.includes(answer.seenSource);
  return { ...question, ...answer, ok };
}

/**
 * One after the other: a round trip is not measured while another one keeps the processor busy. What has no answer
 * soon is for {@link askAgain}.
 */
export async function probeFrom(netns: string, questions: readonly Question[]): Promise<Probe[]> {
  const prober = await openProber(netns);
  try {
    const probes: Probe[] = [];
    for (const question of questions) {
      probes.push(judge(question, await prober.ask(question.address, 1, FIRST_TIMEOUT_MS)));
    }
    return probes;
  } finally {
    prober.close();
  }
}

/** Probes of one namespace with those that had no answer asked again, with more patience and all at once. */
export async function askAgain(netns: string, probes: readonly Probe[]): Promise<Probe[]> {
  if (probes.every(({ seenSource }) => seenSource !== null)) return [...probes];
  const prober = await openProber(netns);
  try {
    return await Promise.all(
      probes.map(async (probe) =>
        probe.seenSource === null ? judge(probe, await prober.ask(probe.address, TRIES, TIMEOUT_MS)) : probe,
      ),
    );
  } finally {
    prober.close();
  }
}
