import { waitFor } from "../kernel/agent.ts";
import { must } from "../kernel/sandbox.ts";
import type { Cluster } from "./cluster.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { PodOptions } from "./cluster-pod.ts";
import { kernelState, type NodeState } from "./cluster-state.ts";
import { askWho, inNetns, serveWho } from "./host-ports.ts";

/** Of every address of the node, and of one. */
export const PORT = 8080;
export const ONE_ADDRESS_PORT = 8082;
/** In the pod. */
export const UDP_PORT = 5353;
/** Of n1. */
export const FAMILIES = [
  { family: "IPv4", index: 0, gateway: "10.244.1.1" },
  { family: "IPv6", index: 1, gateway: "fd44:0:0:1::1" },
] as const;

/** A machine beside the nodes; another one, and what it has behind it, whose way leads through n1. */
export const OUTSIDE = ["10.9.0.100", "fd09::100"];
const ELSEWHERE = ["10.9.0.101", "fd09::101"];
export const BEHIND = ["10.77.0.1", "fd77::1"];

/** A pod on n1 with ports and limits. */
export const OPTIONS: PodOptions = {
  hostPorts: [
    { protocol: "TCP", containerPort: 80, hostPort: PORT },
    { protocol: "UDP", containerPort: UDP_PORT, hostPort: PORT },
    { protocol: "TCP", containerPort: 80, hostPort: ONE_ADDRESS_PORT, hostIp: "10.9.0.1" },
  ],
  annotations: {
    "kubernetes.io/ingress-bandwidth": "80M",
    "kubernetes.io/egress-bandwidth": "40M",
  },
};

/** What a pod may leave on its node. Not counted: chains without rules, which iptables makes and keeps. */
export function nodeState(node: ClusterNode): NodeState {
  const found = { ...kernelState(node), tc: node.must(["tc", "qdisc", "show"]).split("\n") };
  const isEmpty = (line: string) =>
    /^(:[A-Z]+ ACCEPT|\s*chain [A-Z]+ \{|\s+type .* policy accept;|\s*\})\s*$/.test(line);
  return Object.fromEntries(
    Object.entries(found).map(([key, lines]) => [key, lines.filter((line) => !isEmpty(line))]),
  );
}

/**
 * The machine outside, whose network namespace is returned, and a server elsewhere on the same port as the pod's; the way
 * between both leads through n1, there and back.
 */
export async function connectOutside({ underlay, folder }: Cluster, n1: ClusterNode): Promise<string> {
  const outside = underlay.outsider(OUTSIDE);
  const elsewhere = underlay.outsider(ELSEWHERE);
  for (const { index } of FAMILIES) {
    const behind = BEHIND[index] ?? "";
    const via = n1.words.addresses[index] ?? "";
    const inside = (netns: string, ...words: string[]) => must("nsenter", `--net=${netns}`, "ip", ...words);
    inside(elsewhere, "addr", "add", behind, "dev", "lo");
    inside(elsewhere, "route", "add", OUTSIDE[index] ?? "", "via", via);
    inside(outside, "route", "add", behind, "via", via);
    n1.must(["ip", "route", "add", behind, "via", ELSEWHERE[index] ?? ""]);
  }
  await serveWho(folder, elsewhere, "elsewhere", PORT);
  for (const address of BEHIND) {
    const answers = async () => (await askWho(inNetns(outside), address, PORT)).startsWith("elsewhere");
    await waitFor(`${address} is reached through n1`, answers);
  }
  return outside;
}
