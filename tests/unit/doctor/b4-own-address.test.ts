import { describe, expect, test } from "bun:test";
import { ownAddressCheck } from "../../../src/doctor/checks/b4-own-address.ts";
import type { NodeAddresses } from "../../../src/doctor/sections/node-addresses.ts";
import { findingsOf, linesOf } from "./facts.ts";

const link = (name: string, address: string, changes: Partial<NodeAddresses["links"][number]> = {}) => ({
  name,
  isUp: true,
  isOurs: false,
  addresses: [address],
  ...changes,
});
const HEALTHY: NodeAddresses = {
  self: "n1",
  internalIps: ["10.9.0.1"],
  unknown: null,
  source: "file nodes.json",
  isLive: true,
  links: [
    link("lo", "127.0.0.1/8"),
    link("eth0", "10.9.0.1/24"),
    link("minicni0", "10.244.1.1/24", { isOurs: true }),
  ],
  defaults: [{ family: 4, dev: "eth0", via: "10.9.0.254", metric: null }],
  peersOn: [{ family: 4, dev: "eth0", count: 2, example: "10.9.0.2" }],
  tunnels: [{ name: "minicni.vxlan", local: "10.9.0.1" }],
  nodeIp: null,
};
const of = (changes: Partial<NodeAddresses>) =>
  findingsOf(ownAddressCheck, { nodeAddresses: { ...HEALTHY, ...changes } });
const NAT = [link("eth0", "10.0.2.15/24"), link("eth1", "192.168.56.11/24")];
const ON_ETH1 = [{ family: 4 as const, dev: "eth1", count: 3, example: "192.168.56.12" }];

describe("B4, this node's own address", () => {
  test.each<[string, Partial<NodeAddresses>, string]>([
    ["one link", {}, "PASS B4 InternalIP 10.9.0.1 is on eth0: the default route leaves by it"],
    [
      "several links",
      { links: [...HEALTHY.links, link("eth1", "10.5.0.1/24")] },
      "PASS B4 InternalIP 10.9.0.1 is on eth0 (of 2 links with addresses): the default route leaves by it",
    ],
    [
      "chosen by a file",
      { nodeIp: { text: "10.9.0.1", path: "/etc/default/kubelet" } },
      "PASS B4 InternalIP 10.9.0.1 is on eth0: --node-ip of the kubelet in /etc/default/kubelet",
    ],
    [
      "chosen otherwise",
      { defaults: [{ family: 4, dev: "eth1", via: "10.5.0.9", metric: null }] },
      "PASS B4 InternalIP 10.9.0.1 is on eth0: the default route leaves by eth1, so that somebody chose it",
    ],
    [
      "routed to the host",
      { links: [link("lo", "10.9.0.1/32")], peersOn: ON_ETH1 },
      "PASS B4 InternalIP 10.9.0.1 is on lo: the default route leaves by eth0, so that somebody chose it",
    ],
    [
      "own Node not known",
      { internalIps: null, unknown: "why" },
      "SKIP B4 this node's own address: not looked at: why",
    ],
    ["none", { internalIps: [] }, "SKIP B4 this node's own address: Node n1 has no InternalIP"],
    [
      "another address by now",
      { links: [link("eth0", "10.9.0.7/24")] },
      "FAIL B4 this Node's InternalIP 10.9.0.1 is on no link; eth0 has 10.9.0.7/24 of the same network",
    ],
    [
      "translated by a cloud",
      { links: [link("eth0", "172.16.0.4/24")] },
      "WARN B4 this Node's InternalIP 10.9.0.1 is on no link of this machine",
    ],
    [
      "a link that is down",
      { links: [link("eth0", "10.9.0.1/24", { isUp: false })] },
      "FAIL B4 eth0, which has this Node's InternalIP 10.9.0.1, is down",
    ],
    [
      "an agent that has not followed",
      { tunnels: [{ name: "minicni.vxlan", local: "10.9.0.9" }] },
      "FAIL B4 minicni.vxlan sends from 10.9.0.9, but this Node's InternalIP is 10.9.0.1",
    ],
    [
      "the NAT link of a VM",
      { internalIps: ["10.0.2.15"], links: NAT, peersOn: ON_ETH1, tunnels: [] },
      "WARN B4 InternalIP 10.0.2.15 is on eth0, but 3 peers (192.168.56.12) are on the network of eth1",
    ],
  ])("%s", (_what, changes, line) => {
    expect(linesOf(of(changes))).toEqual([line]);
  });

  test("both families are told of, the first address of each", () => {
    const links = [link("eth0", "10.9.0.1/24", { addresses: ["10.9.0.1/24", "fd09::1/64"] })];
    const found = of({ internalIps: ["fd09::1", "10.9.0.1", "10.9.0.2"], links });
    expect(linesOf(found)).toEqual([
      "PASS B4 InternalIP 10.9.0.1 is on eth0: the default route leaves by it",
      "PASS B4 InternalIP fd09::1 is on eth0: there is no default route",
    ]);
  });

  test("what to do names the address to announce, or the file that says the old one", () => {
    const links = [link("eth0", "10.9.0.7/24")];
    const nodeIp = { text: "10.9.0.1", path: "/etc/default/kubelet" };
    expect(of({ links, nodeIp })[0]?.fix).toEqual([
      "sed -i 's/10.9.0.1/10.9.0.7/' /etc/default/kubelet && systemctl restart kubelet",
    ]);
    expect(of({ internalIps: ["10.0.2.15"], links: NAT, peersOn: ON_ETH1, tunnels: [] })[0]?.fix).toEqual([
      "echo 'KUBELET_EXTRA_ARGS=--node-ip=192.168.56.11' > /etc/default/kubelet && systemctl restart kubelet",
    ]);
  });
});
