import { readFileSync } from "node:fs";
import { VOLATILE } from "../kernel/agent.ts";
import { type Attachments, NO_ATTACHMENTS, observeAttachments } from "./attachments.ts";
import type { ClusterNode } from "./cluster-node.ts";

const FOLDERS = ["/etc/cni", "/opt/cni", "/run/minicni", "/var/lib/cni", "/var/lib/minicni"];

/** What may differ on a node because of us, as lines by the command that shows it. */
export type NodeState = Readonly<Record<string, readonly string[]>>;

/** Takes down all that an agent, a plugin or an installer may change on a node but for sysctls. */
export function kernelState(node: ClusterNode): NodeState {
  const commands = [
    ["ip", "-d", "link", "show"],
    ["ip", "-o", "addr", "show"],
    ["ip", "-4", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["ip", "-4", "rule", "show"],
    ["ip", "-6", "rule", "show"],
    ["ip", "neigh", "show", "nud", "permanent"],
    ["bridge", "fdb", "show"],
    ["iptables-save"],
    ["ip6tables-save"],
    ["nft", "list", "ruleset"],
  ];
  return Object.fromEntries(commands.map((argv) => [argv.join(" "), lines(node.must(argv))]));
}

/** Files and folders with their sizes and modes, where runtimes, plugins and we keep them. */
export function fileState(node: ClusterNode): readonly string[] {
  const format = ["-printf", "%M %s %p\\n"];
  // What a running agent tells of itself changes by itself.
  const told = ["(", "-type", "d", "-o", "-name", "agent.json", ")"];
  const files = [
    "-not",
    "-name",
    "agent.json.tmp",
    "(",
    ...told,
    "-printf",
    "%M - %p\\n",
    "-o",
    ...format,
    ")",
  ];
  return lines(node.run(["find", ...FOLDERS, ...files]).stdout).sort();
}

function lines(text: string): string[] {
  return text
    .replace(VOLATILE, "")
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
}

/** What the attachments on a node hold, with the network namespaces of its pods. */
export interface NodeAttachments extends Attachments {
  readonly namespaces: number;
}

export const NO_NODE_ATTACHMENTS: NodeAttachments = { ...NO_ATTACHMENTS, namespaces: 0 };

/** What an attachment leaves if it is not undone. */
export function attachments(node: ClusterNode): NodeAttachments {
  const { name } = JSON.parse(readFileSync(node.path("/etc/cni/net.d/10-minicni.conflist"), "utf8"));
  const namespaces = lines(node.run(["ls", "-1", "/run/netns"]).stdout).length;
  return { ...observeAttachments((argv) => node.run(argv), name), namespaces };
}

/** The attachments of pods with these addresses and no others. */
export function attachmentsOf(pods: readonly { readonly ips: readonly string[] }[]): NodeAttachments {
  const { length } = pods;
  return {
    veths: length,
    reservations: pods.flatMap(({ ips }) => ips).sort(),
    records: length,
    namespaces: length,
  };
}
