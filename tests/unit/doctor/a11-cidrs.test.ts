import { describe, expect, test } from "bun:test";
import { cidrsCheck } from "../../../src/doctor/checks/a11-cidrs.ts";
import type { Cidrs } from "../../../src/doctor/sections/cidrs.ts";
import { toEntry, toSnapshot } from "../../../src/kube/snapshot.ts";
import { findingsOf, linesOf } from "./facts.ts";

const NODES = [
  { name: "n1", podCidrs: ["10.244.1.0/24", "fd44:0:0:1::/64"], addresses: ["10.9.0.1", "fd09::1"] },
  { name: "n2", podCidrs: ["10.244.2.0/24", "fd44:0:0:2::/64"], addresses: ["10.9.0.2", "fd09::2"] },
];
const HEALTHY: Cidrs = {
  self: "n1",
  noNodes: null,
  nodes: NODES,
  faults: [],
  clusterCidrs: [],
  serviceCidrs: [],
  serviceAddresses: [],
  noRules: null,
  links: [{ name: "eth0", prefix: "10.9.0.1/24" }],
  bridges: [{ name: "minicni0", prefix: "10.244.1.1/24" }],
};
const of = (changes: Partial<Cidrs>) => findingsOf(cidrsCheck, { cidrs: { ...HEALTHY, ...changes } });
const link = (name: string, prefix: string) => ({ links: [...HEALTHY.links, { name, prefix }] });
const service = (address: string) => ({ serviceAddresses: [{ address, from: `-d ${address}` }] });
const FROM = "--cluster-cidr in a file";

/** What the list of Nodes says of a Node that has these beside n1 and n2. */
function faultsOf(name: string, podCidrs: readonly string[], internalIps: readonly string[]) {
  const fields = [
    ...NODES.map(({ addresses, ...it }) => ({ ...it, internalIps: addresses })),
    { name, podCidrs, internalIps },
  ];
  const entries = fields.map((it, index) =>
    toEntry({ ...it, createdAt: `2026-01-0${index + 1}T00:00:00Z`, malformed: null }),
  );
  return [...toSnapshot(entries).faults];
}

describe("A11, networks that overlap", () => {
  test.each<[string, Partial<Cidrs>, string]>([
    [
      "nothing",
      {},
      "PASS A11 4 pod CIDRs, 1 address of a link and no service (their CIDR is not known here) do not overlap",
    ],
    [
      "services elsewhere",
      service("10.96.0.1"),
      "PASS A11 4 pod CIDRs, 1 address of a link and 1 service address do not overlap",
    ],
    [
      "no Nodes",
      { nodes: [], noNodes: "nobody said" },
      "SKIP A11 pod CIDRs and other networks: not looked at: no list of Nodes: nobody said",
    ],
    [
      "a link in a peer's pod CIDR",
      link("docker0", "10.244.2.1/25"),
      "FAIL A11 docker0 has 10.244.2.1/25, which is inside the pod CIDR 10.244.2.0/24 of n2",
    ],
    [
      "the same network",
      link("docker0", "10.244.2.1/24"),
      "FAIL A11 docker0 has 10.244.2.1/24, which is inside the pod CIDR 10.244.2.0/24 of n2",
    ],
    [
      "a wider link around one",
      link("eth1", "10.244.2.9/23"),
      "WARN A11 eth1's network 10.244.2.0/23 holds pod CIDR 10.244.2.0/24 of n2",
    ],
    [
      "a wider link around all",
      link("eth1", "10.244.0.9/16"),
      "WARN A11 eth1's network 10.244.0.0/16 holds 2 pod CIDRs",
    ],
    [
      "another bridge with our own pods' network",
      link("br9", "10.244.1.1/24"),
      "FAIL A11 br9 has 10.244.1.1/24, which is inside the pod CIDR 10.244.1.0/24 of n1",
    ],
    [
      "the bridge of the plugin before us",
      { ...link("cni0", "10.244.1.1/24"), bridges: [] },
      "WARN A11 cni0 has 10.244.1.1/24, which is inside the pod CIDR 10.244.1.0/24 of n1",
    ],
    [
      "IPv6",
      link("eth1", "fd44:0:0:2::9/64"),
      "FAIL A11 eth1 has fd44:0:0:2::9/64, which is inside the pod CIDR fd44:0:0:2::/64 of n2",
    ],
    [
      "a cluster CIDR of the future",
      {
        ...link("eth1", "10.200.3.1/24"),
        clusterCidrs: [
          { cidr: "10.200.0.0/16", from: FROM },
          { cidr: "10.244.0.0/16", from: FROM },
        ],
      },
      "WARN A11 eth1 has 10.200.3.0/24, which the cluster CIDR 10.200.0.0/16 (--cluster-cidr in a file) overlaps",
    ],
    [
      "a service in a pod CIDR",
      service("10.244.2.77"),
      "FAIL A11 the service address 10.244.2.77 is inside the pod CIDR 10.244.2.0/24 of n2",
    ],
    [
      "a service CIDR around pods",
      { serviceCidrs: [{ cidr: "10.240.0.0/12", from: FROM }] },
      "FAIL A11 the service CIDR 10.240.0.0/12 and the pod CIDR 10.244.1.0/24 of n1 overlap",
    ],
    [
      "a service CIDR around machines",
      { serviceCidrs: [{ cidr: "10.9.0.0/16", from: FROM }] },
      "WARN A11 the service CIDR 10.9.0.0/16 holds addresses of machines: InternalIP 10.9.0.1 of n1",
    ],
    [
      "a service CIDR elsewhere",
      { serviceCidrs: [{ cidr: "10.96.0.0/12", from: FROM }] },
      "PASS A11 4 pod CIDRs, 1 address of a link and the service CIDR 10.96.0.0/12 do not overlap",
    ],
    [
      "cluster CIDRs that hold not all",
      { clusterCidrs: [{ cidr: "10.244.0.0/23", from: FROM }] },
      "WARN A11 no cluster CIDR holds the pod CIDR 10.244.2.0/24 of n2",
    ],
    [
      "cluster CIDRs that hold all",
      { clusterCidrs: [{ cidr: "10.244.0.0/16", from: FROM }] },
      "PASS A11 4 pod CIDRs, 1 address of a link and no service (their CIDR is not known here) do not overlap",
    ],
  ])("%s", (_what, changes, line) => {
    expect(linesOf(of(changes))).toEqual([line]);
  });

  test("an address of a service alone on a link is node-local DNS", () => {
    const changes = {
      ...link("nodelocaldns", "10.96.0.10/32"),
      serviceCidrs: [{ cidr: "10.96.0.0/12", from: FROM }],
    };
    expect(of(changes).map(({ level }) => level)).toEqual(["pass"]);
  });

  test.each([
    [
      "bad",
      ["10.244.2.0/25"],
      ["10.9.0.9"],
      "WARN A11 Node bad has a pod CIDR of node n2: 10.244.2.0/25",
      "kubectl delete node bad",
    ],
    [
      "n9",
      [],
      ["10.9.0.9"],
      "WARN A11 Node n9 has no pod CIDR (spec.podCIDRs is [])",
      "kubectl get node n9 -o jsonpath='{.spec.podCIDRs}'",
    ],
    [
      "n9",
      ["10.9.0.0/24"],
      ["10.7.0.9"],
      "WARN A11 Node n9 has a pod CIDR that holds the InternalIP 10.9.0.1 of node n1 and of others: 10.9.0.0/24",
      "kubectl get node n9 -o jsonpath='{.spec.podCIDRs} {.status.addresses}'",
    ],
  ])("a Node %s that is left out: %j", (name, podCidrs, addresses, line, fix) => {
    const [finding] = of({ faults: faultsOf(name, podCidrs, addresses) });
    expect(linesOf(finding === undefined ? [] : [finding])).toEqual([line]);
    expect(finding?.fix).toContain(fix);
  });

  test("our own Node without a pod CIDR is worse, and told apart from the others", () => {
    const message = "has no pod CIDR (spec.podCIDRs is [])";
    const faults = ["n1", "n3", "n4"].map((node) => ({ node, message }));
    expect(linesOf(of({ faults }))).toEqual([
      "FAIL A11 this Node n1 has no pod CIDR (spec.podCIDRs is [])",
      "WARN A11 2 Nodes can't be used for their pod CIDRs: n3, n4",
    ]);
  });

  test("thousands of services and Nodes are no matter", () => {
    const numbers = Array.from({ length: 5_000 }, (_, index) => index);
    const nodes = numbers.map((n) => ({
      name: `n${n}`,
      podCidrs: [`10.${100 + (n >> 8)}.${n & 255}.0/24`],
      addresses: [],
    }));
    const serviceAddresses = numbers.map((n) => ({ address: `172.20.${n >> 8}.${n & 255}`, from: "" }));
    expect(of({ nodes, serviceAddresses })[0]?.level).toBe("pass");
  });

  test("what to do names Docker's own settings", () => {
    expect(of(link("docker0", "10.244.2.1/24"))[0]?.fix.join()).toContain("default-address-pools");
  });
});
