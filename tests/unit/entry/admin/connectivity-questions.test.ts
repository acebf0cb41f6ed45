import { describe, expect, test } from "bun:test";
import {
  choosePeers,
  describeQuestions,
  type KnownPeer,
  type Scene,
  type Way,
} from "../../../../src/entry/admin/connectivity/questions.ts";
import { type Address, type Family, formatAddress, parseAddress } from "../../../../src/net/address.ts";
import type { ClusterNode } from "../../../../src/net/node.ts";
import { parsePrefix } from "../../../../src/net/prefix.ts";

function addresses(...texts: string[]): Address[] {
  return texts.flatMap((text) => parseAddress(text) ?? []);
}

const nodeOf = (name: string): ClusterNode => ({
  name,
  addresses: addresses("10.9.0.2", "fd09::2"),
  podCidrs: ["10.244.2.0/24", "fd44:0:0:2::/64"].flatMap((text) => parsePrefix(text) ?? []),
});

function peerOf(way: Way, pods: string[] | null = null): KnownPeer {
  const ways = new Map<Family, Way>([
    [4, way],
    [6, way],
  ]);
  return { node: nodeOf("n2"), pods: pods && addresses(...pods), ways };
}

const SCENE: Scene = {
  own: addresses("10.9.0.1", "fd09::1"),
  peers: [],
  pod: { families: [4, 6], gateways: addresses("10.244.1.1", "fd44:0:0:1::1") },
  given: [],
  mtu: 1450,
  hasTunnels: true,
};
const linesOf = (scene: Partial<Scene>) =>
  describeQuestions({ ...SCENE, ...scene }).map(
    ({ from, kind, address, fullBytes }) => `${from} ${kind} ${formatAddress(address)} ${fullBytes}`,
  );

describe("what is asked", () => {
  test("of a node alone: its own addresses, by the pod", () => {
    expect(linesOf({})).toEqual([
      "pod own 10.244.1.1 1450",
      "pod own fd44:0:0:1::1 1450",
      "pod own 10.9.0.1 1450",
      "pod own fd09::1 1450",
    ]);
  });

  test("of a peer: node to node as large as a tunnel makes it, pods' ends as large as pods", () => {
    const peers = [peerOf({ kind: "tunnel", underlay: 4 }, ["10.244.2.5", "10.244.2.6", "10.244.2.7"])];
    expect(linesOf({ peers }).slice(4)).toEqual([
      "node node 10.9.0.2 1500",
      "node node fd09::2 1450",
      "pod node 10.9.0.2 1450",
      "pod node fd09::2 1450",
      "pod tunnel 10.244.2.0 1450",
      "pod tunnel fd44:0:0:2:: 1450",
      "pod gateway 10.244.2.1 1450",
      "pod gateway fd44:0:0:2::1 1450",
      "pod pod 10.244.2.5 1450",
      "pod pod 10.244.2.6 1450",
    ]);
  });

  test("no address in a tunnel where there is none; no family that this node or its pods do not speak", () => {
    const peers = [peerOf({ kind: "direct" })];
    const pod = { families: [4] as const, gateways: [] };
    expect(linesOf({ peers, pod, own: addresses("10.9.0.1"), hasTunnels: false, mtu: 1500 })).toEqual([
      "pod own 10.9.0.1 1500",
      "node node 10.9.0.2 1500",
      "pod node 10.9.0.2 1500",
      "pod gateway 10.244.2.1 1500",
    ]);
  });

  test("without a pod the nodes alone, and what was given", () => {
    const peers = [peerOf({ kind: "direct" })];
    expect(linesOf({ peers, pod: null, given: addresses("10.244.2.9") })).toEqual([
      "node node 10.9.0.2 1450",
      "node node fd09::2 1450",
      "node given 10.244.2.9 1450",
    ]);
  });
});

describe("which peers", () => {
  const nodes = Array.from({ length: 100 }, (_, index) => nodeOf(`n${index}`));
  const namesOf = (self: string | null, most: number, names: string[] = []) =>
    choosePeers(nodes, self, { most, names }).map(({ name }) => name);

  test("all but this one, where they are few or all are wanted", () => {
    expect(namesOf("n3", Number.POSITIVE_INFINITY).length).toBe(99);
    expect(namesOf(null, 100).length).toBe(100);
    expect(namesOf("n3", 100)).not.toContain("n3");
  });

  test("of many some, spread over the list, others for another node, each once", () => {
    const some = namesOf("n3", 4);
    expect(some).toEqual(["n4", "n28", "n53", "n78"]);
    expect(namesOf("n10", 4)).not.toEqual(some);
    expect(new Set(namesOf("n50", 16)).size).toBe(16);
  });

  test("those that are named", () => {
    expect(namesOf("n3", 4, ["n7", "n9"])).toEqual(["n7", "n9"]);
  });
});
