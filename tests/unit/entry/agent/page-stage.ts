import { mapCells } from "../../../../src/entry/admin/ipam/cells.ts";
import type { PoolDocument } from "../../../../src/entry/agent/page/pool.ts";
import type { AgentReport } from "../../../../src/entry/agent/report.ts";

/** A name that a browser would run if it were put in as markup. */
export const HOSTILE = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

type Peer = AgentReport["peers"][number];

export function examplePeer(number: number, words: Partial<Peer> = {}): Peer {
  const [high, low] = [number >> 8, number & 255];
  return {
    name: `worker-${number}`,
    addresses: [`192.168.${high}.${low}`],
    podCidrs: [`10.${64 + high}.${low}.0/24`],
    path: number % 3 === 0 ? "tunnel" : "direct",
    fault: null,
    ...words,
  };
}

/** What an agent with so many peers says, one of which is not reached. */
export function exampleReport(peers = 40, words: Partial<AgentReport> = {}): AgentReport {
  const at = (secondsAgo: number) => new Date(Date.now() - secondsAgo * 1000).toISOString();
  return {
    version: 1,
    minicni: "0.1.0",
    pid: 4242,
    bootId: "b",
    startedAt: at(11_000),
    writtenAt: at(1),
    stoppedAt: null,
    settings: {
      node: "worker-1",
      nodesFile: null,
      kubeconfig: null,
      backend: "auto",
      vni: 157,
      vxlanPort: 8472,
      clusterCidrs: [],
      nonMasqueradeCidrs: [],
      masquerade: true,
      masqueradeNodes: false,
      mtu: 0,
      stateDir: "/run/minicni",
      dataDir: "/var/lib/minicni",
      confDir: "/etc/cni/net.d",
      listen: "127.0.0.1:9157",
      resyncPeriodMs: 5000,
      leakGraceMs: 60_000,
      nodeCondition: false,
      executor: "auto",
    },
    nodes: {
      source: "in-cluster ServiceAccount",
      isLive: true,
      heardAt: at(4),
      known: peers + 1,
      faulty: [{ node: "spare", message: "has no pod CIDR" }],
      fault: null,
    },
    peers: Array.from({ length: peers }, (_, index) =>
      examplePeer(
        index + 2,
        index === 5 ? { path: "none", fault: "192.168.0.7 is reached by no route of this node" } : {},
      ),
    ),
    routes: [
      { family: 4, desired: peers - 1, programmed: peers - 2 },
      { family: 6, desired: 0, programmed: 0 },
    ],
    conflicts: ["10.64.9.0/24 is in the way: via 192.168.0.9 dev eth0 proto bird"],
    rules: {
      variant: "nft",
      faults: [],
      warnings: ["chain filter_FORWARD of nftables table inet firewalld drops what pods send"],
    },
    tunnels: [{ name: "minicni.vxlan", underlay: 4 }],
    podCidrs: ["10.64.1.0/24", "fd64:0:0:1::/64"],
    clusterCidrs: ["10.64.0.0/12", "fd64::/48"],
    mtu: 1450,
    readiness: [
      { name: "nodes", fault: null, warning: null },
      { name: "routes", fault: "1 of 39 routes is missing", warning: null },
      { name: "rules", fault: null, warning: "firewalld drops what pods send" },
      { name: "published", fault: null, warning: null },
    ],
    loops: [
      { name: "nodes", fault: null },
      { name: "monitor", fault: null },
      { name: "leaks", fault: null },
    ],
    lastSyncAt: at(3),
    repairs: [
      {
        at: at(11_000),
        object: "route",
        cause: "start",
        count: 39,
        change: "ip route replace 10.64.2.0/24 …",
      },
      { at: at(75), object: "rule", cause: "kernel", count: 2, change: "chain MINICNI-FORWARD" },
    ],
    ...words,
  };
}

/** Two ranges: one with a block for each address, one so large that only its beginning is shown. */
export function examplePool(): PoolDocument {
  const held = Array.from({ length: 22 }, (_, index) => ({
    addresses: [`10.64.1.${index + 2}`, `fd64:0:0:1::${(index + 2).toString(16)}`],
    pod: `default/web-${index + 2}`,
    holder: `pod default/web-${index + 2} (container c${index + 2} eth0)`,
    isLeaked: index === 7,
  }));
  const all = held.flatMap(({ addresses, holder, isLeaked }) =>
    addresses.map((address) => ({ address, holder, isLeaked })),
  );
  const v4 = {
    subnet: "10.64.1.0/24",
    first: "10.64.1.1",
    last: "10.64.1.254",
    gateway: "10.64.1.1",
  };
  const v6 = {
    subnet: "fd64:0:0:1::/64",
    first: "fd64:0:0:1::1",
    last: "fd64:0:0:1:ffff:ffff:ffff:ffff",
    gateway: "fd64:0:0:1::1",
  };
  return {
    faults: [],
    ranges: [v4, v6].map((range) => ({ network: "minicni", ...mapCells(range, all, null) })),
    attachments: held.map(({ addresses, pod, isLeaked }, index) => ({
      network: "minicni",
      containerId: `c${index + 2}`,
      pod,
      ifname: "eth0",
      addresses,
      note: isLeaked ? "looks dead" : "",
    })),
  };
}
