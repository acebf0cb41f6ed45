import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { HOST, type Plan } from "../../plan/step.ts";
import { labNetns, netnsPath } from "../../topology/lab.ts";
import { attempt } from "../attempt.ts";
import { callPlugin, resultAddresses } from "./call.ts";
import { inParallel } from "./parallel.ts";
import { type LabPod, labNamespaces, readLab, requireLab, requireNode, writePods } from "./state.ts";

/** Calls of the plugin at once: more than processors, since each waits for the kernel a good part of its time. */
const CALLS = 4;

/** A pod that is not made yet. */
export function planPod(node: string, name: string): LabPod {
  return {
    node,
    name,
    containerId: `lab-${node}-${name}`,
    netns: netnsPath(labNetns(node, name)),
    addresses: [],
  };
}

/** Makes sandboxes and attaches them. Throws HostError at the first ADD that fails; the others are ended before. */
export async function addPods(
  wanted: readonly LabPod[],
  self: readonly string[],
  host: Host,
): Promise<LabPod[]> {
  const others = requireLab(host).pods;
  // Kept before they are made: `lab down` has to find what an interrupted call made.
  writePods(host, [...others, ...wanted]);
  await host.execute(
    wanted.map((pod): Plan[number] => ({
      op: "netns.add",
      name: labNetns(pod.node, pod.name),
      netns: HOST,
      why: "the pods' sandboxes",
    })),
  );
  const made = await inParallel(wanted, CALLS, async (pod) => ({
    ...pod,
    addresses: resultAddresses(await callPlugin("ADD", pod, self, host)),
  }));
  writePods(host, [...others, ...made]);
  return made;
}

/** As a runtime would: DEL for every pod. A failure is told and does not keep the rest from going. */
export async function detachPods(self: readonly string[], host: Host): Promise<void> {
  const lab = await attempt("lab down", host, () => readLab(host));
  const present = labNamespaces(host);
  const pods = (lab?.pods ?? []).filter(({ node, name }) =>
    [labNetns(node), labNetns(node, name)].every((netns) => present.includes(netns)),
  );
  await inParallel(pods, CALLS, (pod) => attempt("lab down", host, () => callPlugin("DEL", pod, self, host)));
}

/** One more pod on a node. Throws HostError when there is one by that name. */
export async function addPod(
  node: string,
  name: string,
  self: readonly string[],
  host: Host,
): Promise<LabPod> {
  const lab = requireLab(host);
  requireNode(lab, node);
  if (!/^[a-z0-9]{1,16}$/.test(name))
    throw new HostError(`"${name}" is no pod's name`, "use up to 16 letters and digits");
  if (lab.pods.some((pod) => pod.node === node && pod.name === name))
    throw new HostError(`${node} has a pod ${name} already`, "choose another name");
  const [made] = await addPods([planPod(node, name)], self, host);
  if (made === undefined) throw new HostError("no pod was made", "this is a fault of minicni");
  return made;
}

/** Detaches a pod and removes its sandbox. Throws HostError when there is none, or when DEL fails. */
export async function removePod(
  node: string,
  name: string,
  self: readonly string[],
  host: Host,
): Promise<void> {
  const { pods } = requireLab(host);
  const pod = pods.find((one) => one.node === node && one.name === name);
  if (pod === undefined) throw new HostError(`${node} has no pod ${name}`, "see: minicni lab test");
  await callPlugin("DEL", pod, self, host);
  const netns = labNetns(node, name);
  if (labNamespaces(host).includes(netns))
    await host.execute([{ op: "netns.del", name: netns, netns: HOST, why: "the pod's sandbox" }]);
  writePods(
    host,
    pods.filter((one) => one !== pod),
  );
}
