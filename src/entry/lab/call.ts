import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import type { ClusterNode } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import { labNetns, netnsPath } from "../../topology/lab.ts";
import { type LabPod, nodeFolder } from "./state.ts";

const ResultSchema = v.looseObject({ ips: v.array(v.looseObject({ address: v.string() })) });

/** The network configuration of one virtual node: one range set for each of its pod CIDRs. */
export function nodeConfig(node: ClusterNode): string {
  return JSON.stringify({
    cniVersion: "1.0.0",
    name: "minicni",
    type: "minicni",
    isDefaultGateway: true,
    stateDir: `${nodeFolder(node.name)}/state`,
    ipam: {
      type: "host-local",
      dataDir: `${nodeFolder(node.name)}/networks`,
      ranges: node.podCidrs.map((cidr) => [{ subnet: formatPrefix(cidr) }]),
    },
  });
}

/**
 * Calls the plugin as a container runtime does: a new process in the node's namespace, variables in its environment,
 * the configuration on stdin. Returns what it printed. Throws HostError with its error document.
 */
export async function callPlugin(
  command: "ADD" | "DEL",
  node: ClusterNode,
  pod: Pick<LabPod, "name" | "containerId" | "netns">,
  self: readonly string[],
  host: Host,
): Promise<string> {
  const child = await host.spawn({
    argv: self,
    stdin: nodeConfig(node),
    netns: netnsPath(labNetns(node.name)),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod.name}`,
    },
  });
  if (child.exitCode === 0) return child.stdout;
  throw new HostError(
    `${command} of ${pod.name} on ${node.name} failed: ${child.stdout.trim() || child.stderr.trim()}`,
    "see the error above; `minicni lab down` removes what there is",
  );
}

/** The addresses of a result, as text without their lengths. */
export function resultAddresses(stdout: string): string[] {
  const parsed = v.safeParse(ResultSchema, JSON.parse(stdout));
  if (!parsed.success)
    throw new HostError(`the plugin's result has no ips: ${stdout}`, "this is a fault of minicni");
  return parsed.output.ips.map(({ address }) => address.slice(0, address.indexOf("/")));
}
