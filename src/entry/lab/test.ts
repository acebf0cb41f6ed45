import { openProber, type ProbeAnswer, startEcho } from "../../host/echo.ts";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { formatAddress } from "../../net/address.ts";
import type { ClusterNode } from "../../net/node.ts";
import { LAB_DEVICE, labNetns, netnsPath } from "../../topology/lab.ts";
import { planResync } from "../resync.ts";
import { type LabPod, readLab } from "./state.ts";

/** What is proven, in the order of the report. */
export const CHECKS = [
  "pod → own node",
  "pod → other nodes",
  "pod → pod, same node",
  "pod → pod, across nodes",
  "node → all pods",
] as const;
export type CheckName = (typeof CHECKS)[number];

/** One probe: who asked whom, what came back. `seenSource` is measured at the receiver. */
export interface Probe {
  readonly check: CheckName;
  readonly family: 4 | 6;
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly rttMs: number | null;
  readonly seenSource: string | null;
  /** Any of these is the sender's own: no NAT. */
  readonly ownAddresses: readonly string[];
  readonly ok: boolean;
}

/** A whole run. `drift` names nodes whose routes or rules are not as desired, and why. */
export interface LabReport {
  readonly nodes: readonly ClusterNode[];
  readonly pods: readonly LabPod[];
  readonly probes: readonly Probe[];
  readonly drift: readonly string[];
  readonly ok: boolean;
}

interface Endpoint {
  readonly label: string;
  readonly node: string;
  readonly isPod: boolean;
  readonly netns: string;
  /** Where others reach it. */
  readonly addresses: readonly string[];
  /** What its packets may carry as source. */
  readonly sources: readonly string[];
}

/** A first answer within this, or the probe is asked again later: a lab that is cut in two must not take minutes. */
const FIRST_TIMEOUT_MS = 150;
const TRIES = 2;
const TIMEOUT_MS = 1_000;

/** Probes every pair of the lab, both families. Throws HostError when there is no lab. */
export async function labTest(host: Host): Promise<LabReport> {
  const lab = readLab(host);
  if (lab === null) throw new HostError("there is no lab", "make one: minicni lab up --nodes 3");
  const endpoints = [...lab.nodes.map((node) => nodeEndpoint(node, lab.pods)), ...lab.pods.map(podEndpoint)];
  const echoes: { close(): void }[] = [];
  const probes: Probe[] = [];
  try {
    for (const { netns } of endpoints) echoes.push(await startEcho(netns));
    for (const from of endpoints) probes.push(...(await probeFrom(from, endpoints)));
  } finally {
    for (const echo of echoes) echo.close();
  }
  const drift: string[] = [];
  for (const { name } of lab.nodes) {
    const netns = netnsPath(labNetns(name));
    const { plan, conflicts } = await planResync(lab.nodes, name, LAB_DEVICE, netns, host);
    const faults = [...new Set(plan.map(({ why }) => why)), ...conflicts];
    if (faults.length > 0) drift.push(`${name}: ${faults.join("; ")}`);
  }
  const ok = drift.length === 0 && probes.length > 0 && probes.every((probe) => probe.ok);
  return { ...lab, probes, drift, ok };
}

function podEndpoint({ node, name, netns, addresses }: LabPod): Endpoint {
  return { label: `${node}/${name}`, node, isPod: true, netns, addresses, sources: addresses };
}

/** A node speaks from its underlay addresses, and to its own pods from the gateway addresses of its bridge. */
function nodeEndpoint({ name, addresses, podCidrs }: ClusterNode, pods: readonly LabPod[]): Endpoint {
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
    sources: all,
  };
}

function classify(from: Endpoint, to: Endpoint): CheckName | null {
  const isLocal = from.node === to.node;
  if (from.isPod && to.isPod) return isLocal ? "pod → pod, same node" : "pod → pod, across nodes";
  if (from.isPod) return isLocal ? "pod → own node" : "pod → other nodes";
  return to.isPod ? "node → all pods" : null;
}

/** One probe that is still to be asked. */
type Question = Omit<Probe, "rttMs" | "seenSource" | "ok">;

/**
 * One after the other first: a round trip is not measured while another one keeps the processor busy. What had no
 * answer is asked again, then all at once.
 */
async function probeFrom(from: Endpoint, endpoints: readonly Endpoint[]): Promise<Probe[]> {
  const prober = await openProber(from.netns);
  try {
    const probes: Probe[] = [];
    for (const question of questionsOf(from, endpoints)) {
      probes.push(judge(question, await prober.ask(question.address, 1, FIRST_TIMEOUT_MS)));
    }
    return await Promise.all(
      probes.map(async (probe) =>
        probe.seenSource === null ? judge(probe, await prober.ask(probe.address, TRIES, TIMEOUT_MS)) : probe,
      ),
    );
  } finally {
    prober.close();
  }
}

function questionsOf(from: Endpoint, endpoints: readonly Endpoint[]): Question[] {
  return endpoints.flatMap((to) => {
    const check = to === from ? null : classify(from, to);
    if (check === null) return [];
    return to.addresses.map((address) => {
      const family = address.includes(":") ? 6 : 4;
      return { check, family, from: from.label, to: to.label, address, ownAddresses: from.sources };
    });
  });
}

function judge(question: Question, answer: ProbeAnswer): Probe {
  const ok = answer.seenSource !== null && question.ownAddresses.includes(answer.seenSource);
  return { ...question, ...answer, ok };
}
