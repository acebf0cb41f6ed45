import { describe, expect, test } from "bun:test";
import { nodeAddressesCheck } from "../../../src/doctor/checks/b3-node-addresses.ts";
import type { Cidrs } from "../../../src/doctor/sections/cidrs.ts";
import type { NodeAddresses } from "../../../src/doctor/sections/node-addresses.ts";
import { toEntry, toSnapshot } from "../../../src/kube/snapshot.ts";
import { findingsOf, linesOf } from "./facts.ts";

const ADDRESSES: NodeAddresses = {
  self: "n1",
  internalIps: ["10.0.2.15"],
  unknown: null,
  source: "file nodes.json",
  isLive: true,
  links: [
    { name: "lo", isUp: true, isOurs: false, addresses: ["127.0.0.1/8"] },
    { name: "eth0", isUp: true, isOurs: false, addresses: ["10.0.2.15/24"] },
    { name: "eth1", isUp: true, isOurs: false, addresses: ["192.168.56.11/24"] },
  ],
  defaults: [],
  peersOn: [],
  tunnels: [],
  nodeIp: null,
};

/** The section as the list of these Nodes gives it, the eldest first: [name, InternalIPs]. */
function of(self: string | null, ...nodes: readonly (readonly [string, readonly string[]])[]) {
  const entries = nodes.map(([name, internalIps], index) =>
    toEntry({
      name,
      createdAt: `2026-01-0${index + 1}T00:00:00Z`,
      podCidrs: [`10.244.${index}.0/24`],
      internalIps,
      malformed: null,
    }),
  );
  const snapshot = toSnapshot(entries);
  const cidrs: Cidrs = {
    self,
    noNodes: null,
    nodes: snapshot.nodes.map(({ name }) => ({
      name,
      podCidrs: [],
      addresses: [...(nodes.find(([other]) => other === name)?.[1] ?? [])],
    })),
    faults: [...snapshot.faults],
    clusterCidrs: [],
    serviceCidrs: [],
    serviceAddresses: [],
    noRules: null,
    links: [],
    bridges: [],
  };
  return findingsOf(nodeAddressesCheck, { cidrs, nodeAddresses: ADDRESSES });
}

describe("B3, addresses of Nodes", () => {
  test("all apart", () => {
    expect(linesOf(of("n1", ["n1", ["10.0.2.15"]], ["n2", ["10.0.2.16"]]))).toEqual([
      "PASS B3 2 InternalIPs of 2 Nodes, no two alike and no peer's on this machine",
    ]);
  });

  test("one NAT address of all: the elder Node sees a warning, with its own other address to announce", () => {
    const [finding] = of("n1", ["n1", ["10.0.2.15"]], ["n2", ["10.0.2.15"]]);
    expect(`${finding?.level} ${finding?.message}`).toBe(
      "warn Nodes n1 and n2 have one InternalIP, 10.0.2.15",
    );
    expect(finding?.fix).toEqual([
      "echo 'KUBELET_EXTRA_ARGS=--node-ip=192.168.56.11' > /etc/default/kubelet && systemctl restart kubelet",
    ]);
  });

  test("the younger one is cut off", () => {
    const found = of("n2", ["n1", ["10.0.2.15"]], ["n2", ["10.0.2.15"]], ["n3", ["10.0.2.15"]]);
    expect(linesOf(found)).toContain(
      "FAIL B3 Nodes n1 and n2 have one InternalIP, 10.0.2.15, and 1 more Node like it",
    );
  });

  test("two other Nodes: where to do what is said", () => {
    const [finding] = of("n1", ["n1", ["10.0.2.15"]], ["n2", ["10.0.2.16"]], ["n3", ["10.0.2.16"]]);
    expect(finding?.level).toBe("warn");
    expect(finding?.fix[0]).toBe("# on n3, with the ADDRESS by which other nodes reach it:");
  });

  test("an InternalIP of a peer that this machine has", () => {
    const [finding] = of("n1", ["n1", ["10.0.2.15"]], ["n2", ["192.168.56.11"]]);
    expect(`${finding?.level} ${finding?.message}`).toBe(
      "fail 192.168.56.11, an InternalIP of n2, is an address of this node's eth1",
    );
    expect(finding?.fix).toContain("ip addr del 192.168.56.11/24 dev eth1");
  });

  test("without our own name no address is a peer's", () => {
    expect(of(null, ["n1", ["10.0.2.15"]])[0]?.level).toBe("pass");
  });

  test.each([
    [[], "WARN B3 Node n2 has no InternalIP"],
    [["127.0.0.1"], "WARN B3 Node n2 has an InternalIP that no other node can reach: 127.0.0.1 (loopback)"],
    [["10.0.2.999"], "WARN B3 Node n2 has a value that is no address or network: 10.0.2.999"],
  ])("a Node with %j is told", (addresses, line) => {
    expect(linesOf(of("n1", ["n1", ["10.0.2.15"]], ["n2", addresses]))[0]).toStartWith(
      line.split(" (")[0] ?? "",
    );
  });

  test("our own Node without one can't work", () => {
    expect(linesOf(of("n2", ["n1", ["10.0.2.15"]], ["n2", []]))).toContain(
      "FAIL B3 this Node n2 has no InternalIP",
    );
  });
});
