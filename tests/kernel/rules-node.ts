import { createHost } from "../../src/host/linux.ts";
import type { Host } from "../../src/host/machine.ts";
import { inNetns } from "../../src/host/netns.ts";
import type { NodeRulesWish } from "../../src/topology/node-rules.ts";
import { prefix } from "../twin/words.ts";
import { type Pod, run, type Sandbox } from "./sandbox.ts";
import { connectOutside } from "./views.ts";

/** The real machine as an agent in another namespace sees it; `restores` counts what was changed. */
export interface HostThere extends Host {
  readonly restores: () => number;
}

export function hostIn(netns: string): HostThere {
  const real = createHost();
  let count = 0;
  return {
    ...real,
    restores: () => count,
    spawn: (request) => real.spawn({ ...request, netns }),
    execute: (plan) => {
      count += plan.length;
      return real.execute(plan.map((step) => ({ ...step, netns })));
    },
    isFile: (path) => inNetns(netns, () => real.isFile(path)),
    readFile: (path) => inNetns(netns, () => real.readFile(path)),
  };
}

export const POD = ["10.244.1.2", "fd00:244:1::2"] as const;
/** A pod of another node, which answers from the world's namespace. */
export const PEER_POD = ["10.244.2.2", "fd00:244:2::2"] as const;

export const WISH: NodeRulesWish = {
  podCidrs: ["10.244.1.0/24", "fd00:244:1::/64"].map(prefix),
  clusterCidrs: ["10.244.1.0/24", "10.244.2.0/24", "fd00:244:1::/64", "fd00:244:2::/64"].map(prefix),
  nodeAddresses: [],
  nonMasqueradeCidrs: [],
  masquerade: true,
  masqueradeNodes: false,
  randomFully: true,
};

/** A node that forwards between a pod and a world that has the other node's pod as well. */
export function connectNode(box: Sandbox): { readonly pod: Pod; readonly world: Pod } {
  const [pod, world] = [box.pod(), box.pod()];
  box.node("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  connectOutside(box, world.netns, ["10.244.1.0/24", "fd00:244:1::/64"]);
  box.node("ip", "link", "add", "p0", "type", "veth", "peer", "name", "eth0", "netns", pod.netns);
  const inPod = ["nsenter", `--net=${pod.netns}`];
  const inWorld = ["nsenter", `--net=${world.netns}`];
  for (const [enter, dev, four, six] of [
    [[], "p0", "10.244.1.1/24", "fd00:244:1::1/64"],
    [inPod, "eth0", `${POD[0]}/24`, `${POD[1]}/64`],
    [inWorld, "lo", `${PEER_POD[0]}/32`, `${PEER_POD[1]}/128`],
  ] as const) {
    box.node(...enter, "sysctl", "-qw", `net.ipv6.conf.${dev}.accept_dad=0`);
    box.node(...enter, "ip", "addr", "add", four, "dev", dev);
    box.node(...enter, "ip", "addr", "add", six, "dev", dev, "nodad");
    box.node(...enter, "ip", "link", "set", dev, "up");
  }
  for (const via of ["10.244.1.1", "fd00:244:1::1"])
    box.node(...inPod, "ip", "route", "add", "default", "via", via);
  for (const [to, via] of [
    ["10.244.2.0/24", "192.0.2.1"],
    ["fd00:244:2::/64", "2001:db8::1"],
  ] as const)
    box.node("ip", "route", "add", to, "via", via);
  return { pod, world };
}

/**
 * All chains and rules of a program (`iptables-nft`), without counters. `isForeign`: only those of others, and of the
 * built-in chains only those that drop, since a table comes with all of them once it is used.
 */
export function savedRules(box: Sandbox, program: string, isForeign = false): string[] {
  return box
    .node(`${program}-save`)
    .split("\n")
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ""))
    .filter((line) => /^[-:]/.test(line) && !(isForeign && / ACCEPT$|MINICNI/.test(line)));
}

/** A command in the node that may fail. */
export function tryInNode(box: Sandbox, argv: readonly string[], stdin = ""): void {
  run(["nsenter", `--net=${box.netns}`, ...argv], { stdin });
}
