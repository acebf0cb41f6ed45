import { startEcho } from "../../host/echo.ts";
import type { Host } from "../../host/machine.ts";
import { parseAddress } from "../../net/address.ts";
import type { ClusterNode } from "../../net/node.ts";
import { contains, parsePrefix } from "../../net/prefix.ts";
import type { LabSubnet } from "../../topology/lab.ts";
import { type Drift, observeDrift } from "./drift.ts";
import { probeFullSize } from "./full-size.ts";
import { type LabPath, observePaths } from "./paths.ts";
import {
  askAgain,
  type Endpoint,
  nodeEndpoint,
  type PathTo,
  type Probe,
  podEndpoint,
  probeFrom,
  questionsOf,
} from "./probe.ts";
import { type Lab, type LabPod, requireLab } from "./state.ts";

/** A whole run. */
export interface LabReport extends Drift {
  readonly nodes: readonly ClusterNode[];
  readonly subnets: readonly LabSubnet[];
  readonly pods: readonly LabPod[];
  readonly paths: readonly LabPath[];
  readonly probes: readonly Probe[];
  readonly ok: boolean;
}

/**
 * Probes every pair of the lab, both families: the nodes that the NodeList names, and their pods as far as their
 * addresses belong to their node's pod CIDRs. Throws HostError when there is no lab.
 */
export async function labTest(self: readonly string[], host: Host): Promise<LabReport> {
  const lab = requireLab(host);
  const { nodes, subnets } = lab;
  const pods = lab.pods.filter((pod) => isPlaced(pod, lab));
  const nodeEnds = nodes.map((node) => nodeEndpoint(node, pods));
  const podEnds = nodes.flatMap((node) =>
    pods.filter((pod) => pod.node === node.name).map((pod) => podEndpoint(pod, node)),
  );
  const endpoints = [...nodeEnds, ...podEnds];
  const paths = await observePaths(nodes, host);
  const pathTo = createPathTo(paths);
  const probes = await probeAll(endpoints, pathTo);
  probes.push(...(await probeFullSize(podEnds, pathTo, host)));
  const { drift, remarks } = await observeDrift(lab, self, host);
  const ok = drift.length === 0 && probes.length > 0 && probes.every((probe) => probe.ok);
  return { nodes, subnets, pods, paths, probes, drift, remarks, ok };
}

async function probeAll(endpoints: readonly Endpoint[], pathTo: PathTo): Promise<Probe[]> {
  const echoes: { close(): void }[] = [];
  try {
    for (const { netns } of endpoints) echoes.push(await startEcho(netns));
    const first: { netns: string; probes: Probe[] }[] = [];
    for (const from of endpoints) {
      const questions = questionsOf(from, endpoints, pathTo);
      first.push({ netns: from.netns, probes: await probeFrom(from.netns, questions) });
    }
    return (await Promise.all(first.map(({ netns, probes }) => askAgain(netns, probes)))).flat();
  } finally {
    for (const echo of echoes) echo.close();
  }
}

/** Whether a pod still has addresses of its node: after a change of pod CIDRs it has to be made anew. */
function isPlaced({ node, addresses }: LabPod, { nodes }: Lab): boolean {
  const podCidrs = nodes.find(({ name }) => name === node)?.podCidrs ?? [];
  return addresses.map(parseAddress).every((address) => {
    return address !== null && podCidrs.some((cidr) => contains(cidr, address));
  });
}

function createPathTo(paths: readonly LabPath[]): PathTo {
  const known = paths.flatMap((path) => {
    const cidr = parsePrefix(path.cidr);
    return cidr === null ? [] : [{ ...path, prefix: cidr }];
  });
  return (from, to, text) => {
    const address = parseAddress(text);
    const between = known.filter((path) => path.from === from.node && path.to === to.node);
    const ofFamily = between.filter(({ family }) => family === address?.family);
    const within = ofFamily.find(({ prefix }) => address !== null && contains(prefix, address));
    const way = within ?? ofFamily[0];
    return way === undefined ? null : { path: way.path, isWithin: within !== undefined };
  };
}
