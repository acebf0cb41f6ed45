import type { KnownCluster } from "../../../../src/entry/admin/nodes.ts";
import type { SeenNode } from "../../../../src/entry/admin/status/seen.ts";
import type { AgentReport } from "../../../../src/entry/agent/report.ts";
import type { NodeState } from "../../../../src/kube/node-state.ts";
import { address, prefix } from "../../../twin/words.ts";

/** So many seconds before the moment at which everything is seen. */
export const ago = (seconds: number) => new Date(NOW_MS - seconds * 1000).toISOString();
export const NOW_MS = Date.UTC(2026, 10, 24, 15);
export const NOW = ago(0);

/** What a healthy agent of n1 says. */
export function report(more: Partial<AgentReport> = {}): AgentReport {
  return {
    ...{ version: 1, minicni: "0.1.0", pid: 4711, bootId: "boot-1" },
    ...{ startedAt: ago(7500), writtenAt: ago(3), stoppedAt: null },
    settings: {
      ...{ node: "n1", nodesFile: null, kubeconfig: null, backend: "auto", vni: 157, vxlanPort: 8472 },
      ...{ clusterCidrs: [], nonMasqueradeCidrs: [], masquerade: true, masqueradeNodes: false, mtu: 0 },
      ...{ stateDir: "/run/minicni", dataDir: "/var/lib/minicni", confDir: "/etc/cni/net.d" },
      ...{ listen: "127.0.0.1:9157", resyncPeriodMs: 5000, leakGraceMs: 60000, nodeCondition: false },
      executor: "auto",
    },
    nodes: {
      ...{ source: "in-cluster ServiceAccount", isLive: true, heardAt: ago(12), known: 3, faulty: [] },
      fault: null,
    },
    peers: [
      {
        ...{ name: "n2", addresses: ["10.9.0.2"], podCidrs: ["10.244.2.0/24"] },
        ...{ path: "direct", fault: null },
      },
      {
        ...{ name: "n3", addresses: ["10.8.0.3"], podCidrs: ["10.244.3.0/24"] },
        ...{ path: "tunnel", fault: null },
      },
    ],
    routes: [
      { family: 4, desired: 2, programmed: 2 },
      { family: 6, desired: 0, programmed: 0 },
    ],
    conflicts: [],
    rules: { variant: "nft", faults: [], warnings: [] },
    tunnels: [{ name: "minicni.vxlan", underlay: 4 }],
    ...{ podCidrs: ["10.244.1.0/24"], clusterCidrs: ["10.244.0.0/16"], mtu: 1450 },
    readiness: ["nodes", "routes", "rules", "published"].map((name) => ({
      name,
      fault: null,
      warning: null,
    })),
    loops: [{ name: "resync", fault: null }],
    lastSyncAt: ago(4),
    repairs: [
      {
        ...{ at: ago(200), object: "route", cause: "kernel", count: 1 },
        change: "ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157",
      },
    ],
    ...more,
  };
}

/** A healthy node, seen whole. */
export function seen(more: Partial<SeenNode> = {}): SeenNode {
  return {
    ...{ takenAt: NOW, minicni: "0.1.0", node: "n1" },
    agent: { life: "running", fault: null, isLocked: true },
    report: report(),
    published: { podCidrs: ["10.244.1.0/24"], mtu: 1450, notReady: null },
    links: [
      { name: "minicni0", isUp: true, mtu: 1450 },
      { name: "minicni.vxlan", isUp: true, mtu: 1450 },
    ],
    ...{ routes: { 4: 2, 6: 0 }, missing: [] },
    ranges: [{ network: "minicni", range: "10.244.1.1-10.244.1.254", used: 63, free: 190 }],
    attachments: [{ network: "minicni", count: 63 }],
    unseen: [],
    ...more,
  };
}

/** A node with an agent that tells of a route in the way, and of what else may be wrong. */
export function faulty(): SeenNode {
  const message =
    "10.244.2.0/24: a route of protocol 4 by eth0 is in the way; remove it: ip route del 10.244.2.0/24";
  const [n2, n3] = report().peers;
  if (n2 === undefined || n3 === undefined) throw new Error("no peers");
  return seen({
    report: report({
      nodes: { ...report().nodes, faulty: [{ node: "n9", message: "has no pod CIDR" }] },
      peers: [
        { ...n2, fault: message },
        { ...n3, path: "none", fault: "its InternalIP 10.8.0.3 is unreachable" },
      ],
      routes: [{ family: 4, desired: 2, programmed: 1 }],
      conflicts: [message],
      rules: { variant: "nft", faults: [], warnings: ["chain filter_FORWARD drops what pods send"] },
      readiness: [
        { name: "nodes", fault: null, warning: null },
        { name: "routes", fault: "steps failed: `ip route …`: no", warning: null },
      ],
    }),
    missing: [{ peer: "n2", dst: "10.244.2.0/24" }],
    ranges: [{ network: "minicni", range: "10.244.1.1-10.244.1.254", used: 253, free: 0 }],
    unseen: ["attachments: EACCES: permission denied, scandir '/run/minicni/attachments'"],
    attachments: null,
  });
}

/** Nodes n1, n2, n3, and n10 that is left out. */
export function cluster(states: readonly Partial<NodeState>[] = []): KnownCluster {
  const nodes = [1, 2, 3].map((number) => ({
    name: `n${number}`,
    podCidrs: [prefix(`10.244.${number}.0/24`)],
    addresses: [address(number === 3 ? "10.8.0.3" : `10.9.0.${number}`)],
  }));
  const whole = states.map((state) => ({
    ...{ name: "", ready: null, networkUnavailable: null, taints: [], version: null },
    ...state,
  }));
  return {
    snapshot: { nodes, faults: [{ node: "n10", message: "has no pod CIDR" }] },
    states: new Map(whole.map((state) => [state.name, state])),
    ...{ source: "kubeconfig /root/.kube/config", isLive: true, fault: null },
  };
}
