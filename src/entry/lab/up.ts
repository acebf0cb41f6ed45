import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { type Address, type Family, parseAddress } from "../../net/address.ts";
import {
  describeLab,
  type LabRange,
  type LabSize,
  type LabSubnet,
  planLab,
  type UnderlayRange,
} from "../../topology/lab.ts";
import type { Backend } from "../../topology/path.ts";
import { awaitAgent, startAgent } from "./agents.ts";
import { addPods, planPod } from "./pods.ts";
import { labNamespaces, readLab, writeLayout } from "./state.ts";

/** What lab is wanted. */
export interface LabWish extends LabSize {
  /** On each node. */
  readonly pods: number;
  readonly backend: Backend;
  readonly families: readonly Family[];
  /** Of the underlay links, in bytes; null: what the kernel chooses (1500). */
  readonly mtu: number | null;
}

const MAX_NODES = 32;
const MAX_PODS = 32;
const MAX_SUBNETS = 4;
/** IPv6's least MTU (RFC 8200 §5) in a tunnel over IPv6: below it the lab's pods would have no IPv6. */
const MIN_MTU = 1280 + 70;
const MAX_MTU = 65_535;

function known(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new RangeError(text);
  return address;
}

/** 172.31.255.0/24 and fd00:31:255::/64, one address a node; further subnets are 172.31.254.0/24, fd00:31:254::/64 … */
const UNDERLAY: readonly UnderlayRange[] = [
  { network: known("172.31.255.0"), length: 24, step: 1n, subnetStep: -256n },
  { network: known("fd00:31:255::"), length: 64, step: 1n, subnetStep: -(1n << 80n) },
];
/** Cluster CIDRs 10.244.0.0/16 and fd00:10:244::/48. */
const CLUSTER: readonly LabRange[] = [
  { network: known("10.244.0.0"), length: 24, step: 256n },
  { network: known("fd00:10:244::"), length: 64, step: 1n << 64n },
];

/** Makes the lab. Throws HostError; what is half made is for `lab down`. */
export async function labUp(
  wish: LabWish,
  self: readonly string[],
  host: Host,
  say: (line: string) => void,
): Promise<void> {
  checkWish(wish);
  refuseSecondLab(host);
  const isWanted = ({ network }: LabRange) => wish.families.includes(network.family);
  const layout = describeLab(wish, UNDERLAY.filter(isWanted), CLUSTER.filter(isWanted));
  writeLayout(host, layout, wish.backend);
  say(`making ${wish.nodes} nodes ${describeUnderlay(layout.subnets)}`);
  await host.execute(planLab(layout, wish.mtu));
  // Each has its own namespace: they do their first pass side by side.
  for (const { name } of layout.nodes) startAgent(name, wish.backend, self, host);
  for (const { name } of layout.nodes) await awaitAgent(name, host);
  say(`${wish.nodes} agents ready (backend ${wish.backend})`);
  const pods = layout.nodes.flatMap(({ name }) =>
    Array.from({ length: wish.pods }, (_, index) => planPod(name, `pod${index + 1}`)),
  );
  await addPods(pods, self, host);
  say(`attached ${pods.length} pods`);
}

/** Throws HostError where there is a lab, whole or in parts. */
export function refuseSecondLab(host: Host): void {
  const left = labNamespaces(host);
  if (readLab(host) === null && left.length === 0) return;
  throw new HostError(
    `there is a lab already (${left.length} namespaces)`,
    "remove it first: minicni lab down",
  );
}

function describeUnderlay({ length }: readonly LabSubnet[]): string {
  return length === 1 ? "on an underlay switch" : `in ${length} underlay subnets, a router between them`;
}

function checkWish({ nodes, pods, subnets, mtu }: LabWish): void {
  const check = (option: string, value: number, least: number, most: number) => {
    if (Number.isInteger(value) && value >= least && value <= most) return;
    throw new HostError(`--${option} is ${value}, wanted ${least} … ${most}`, "choose another number");
  };
  check("nodes", nodes, 1, MAX_NODES);
  check("pods", pods, 1, MAX_PODS);
  check("subnets", subnets, 1, Math.min(MAX_SUBNETS, nodes));
  if (mtu !== null) check("mtu", mtu, MIN_MTU, MAX_MTU);
}
