import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { CONFLIST_FILE } from "../../topology/conflist.ts";
import { labNetns, netnsPath } from "../../topology/lab.ts";
import { type LabPod, nodeFolder } from "./state.ts";

const ResultSchema = v.looseObject({ ips: v.array(v.looseObject({ address: v.string() })) });
const ConflistSchema = v.looseObject({
  cniVersion: v.string(),
  name: v.string(),
  plugins: v.pipe(v.array(v.looseObject({ type: v.string() })), v.minLength(1)),
});

/**
 * The request configuration for a node's pods, as a runtime makes it: the first plugin of the conflist that the node's
 * agent wrote, with name and version of the list; and the node's own folders, since all nodes share one file system.
 * Null: the agent wrote none yet. Throws HostError when it is no conflist.
 */
export function nodeConfig(node: string, host: Host): string | null {
  const path = `${nodeFolder(node)}/conf/${CONFLIST_FILE}`;
  const text = host.readFile(path);
  if (text === null) return null;
  const parsed = v.safeParse(ConflistSchema, JSON.parse(text));
  if (!parsed.success)
    throw new HostError(`${path} is no conflist: ${parsed.issues[0].message}`, "this is a fault of minicni");
  const { cniVersion, name, plugins } = parsed.output;
  const folder = nodeFolder(node);
  const folders = { stateDir: `${folder}/state`, dataDir: `${folder}/networks` };
  return JSON.stringify({ ...plugins[0], cniVersion, name, ...folders });
}

/**
 * Calls the plugin as a container runtime does: a new process in the node's namespace, variables in its environment,
 * the configuration on stdin. Returns what it printed. Throws HostError with its error document.
 */
export async function callPlugin(
  command: "ADD" | "DEL",
  pod: Omit<LabPod, "addresses">,
  self: readonly string[],
  host: Host,
): Promise<string> {
  const stdin = nodeConfig(pod.node, host);
  if (stdin === null)
    throw new HostError(`${pod.node} has no conflist`, "its agent writes it: minicni lab agent start");
  const child = await host.spawn({
    argv: self,
    stdin,
    netns: netnsPath(labNetns(pod.node)),
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
    `${command} of ${pod.name} on ${pod.node} failed: ${child.stdout.trim() || child.stderr.trim()}`,
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
