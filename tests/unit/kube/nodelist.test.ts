import { describe, expect, test } from "bun:test";
import { formatNodeList, parseNodeList } from "../../../src/kube/nodelist.ts";
import type { ClusterNode } from "../../../src/net/node.ts";
import { address, prefix, thrown } from "../../twin/words.ts";

const internal = (text: string) => ({ type: "InternalIP", address: text });
const item = (name: string, podCIDRs: readonly string[], addresses: readonly object[]) => ({
  metadata: { name },
  spec: { podCIDRs },
  status: { addresses },
});
const list = (...items: readonly object[]) => JSON.stringify({ apiVersion: "v1", kind: "List", items });
const GOOD = item("good", ["10.244.9.0/24"], [internal("192.168.0.9")]);
const GOOD_ENTRY: ClusterNode = {
  name: "good",
  podCidrs: [prefix("10.244.9.0/24")],
  addresses: [address("192.168.0.9")],
};

/** As `kubectl get nodes -o json` prints it, with parts that are of no interest to us. */
const KUBECTL = `{
  "apiVersion": "v1",
  "items": [
    {
      "apiVersion": "v1",
      "kind": "Node",
      "metadata": {
        "annotations": { "node.alpha.kubernetes.io/ttl": "0" },
        "labels": { "kubernetes.io/os": "linux" },
        "name": "worker-1",
        "resourceVersion": "4711"
      },
      "spec": {
        "podCIDR": "10.244.1.0/24",
        "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"],
        "providerID": "kind://docker/kind/worker-1"
      },
      "status": {
        "addresses": [
          { "address": "172.18.0.3", "type": "InternalIP" },
          { "address": "203.0.113.7", "type": "ExternalIP" },
          { "address": "fc00:f853:ccd:e793::3", "type": "InternalIP" },
          { "address": "worker-1", "type": "Hostname" }
        ],
        "nodeInfo": { "kernelVersion": "6.1.0" }
      }
    }
  ],
  "kind": "List",
  "metadata": { "resourceVersion": "" }
}`;

describe("parseNodeList", () => {
  test("reads what kubectl prints: InternalIPs only, in order", () => {
    expect(parseNodeList(KUBECTL)).toEqual({
      nodes: [
        {
          name: "worker-1",
          podCidrs: [prefix("10.244.1.0/24"), prefix("fd00:10:244:1::/64")],
          addresses: [address("172.18.0.3"), address("fc00:f853:ccd:e793::3")],
        },
      ],
      faults: [],
    });
  });

  test("reads podCIDR where there is no podCIDRs", () => {
    const old = { ...GOOD, spec: { podCIDR: "10.244.9.0/24" } };
    expect(parseNodeList(list(old))).toEqual({ nodes: [GOOD_ENTRY], faults: [] });
  });

  test("reads an empty list", () => {
    expect(parseNodeList(list())).toEqual({ nodes: [], faults: [] });
  });

  const ip = [internal("192.168.0.1")];
  test.each([
    ["no pod CIDRs", item("odd", [], ip), "has no pod CIDR (spec.podCIDRs is [])"],
    [
      "host bits in its CIDR",
      item("odd", ["10.1.1.5/24"], ip),
      "has a value that is no address or network: 10.1.1.5/24",
    ],
    [
      "a CIDR inside another's",
      item("odd", ["10.244.9.128/25"], ip),
      "has a pod CIDR of node good: 10.244.9.128/25",
    ],
    ["one CIDR twice", item("odd", ["10.1.1.0/24", "10.1.1.0/24"], ip), "has the pod CIDR 10.1.1.0/24 twice"],
    ["a name that was there", item("good", ["10.1.1.0/24"], ip), "is in the list twice"],
    ["no spec", { metadata: { name: "odd" } }, "has no pod CIDR (spec.podCIDRs is [])"],
    [
      "an empty podCIDR",
      { ...item("odd", [], ip), spec: { podCIDR: "" } },
      "has no pod CIDR (spec.podCIDRs is [])",
    ],
    [
      "an odd CIDR alone",
      item("odd", ["10.0.0/24"], ip),
      "has a value that is no address or network: 10.0.0/24",
    ],
    [
      "an odd CIDR among good ones",
      item("odd", ["10.244.1.0/24", "fd00::/129"], ip),
      "has a value that is no address or network: fd00::/129",
    ],
    [
      "an odd address",
      item("odd", ["10.244.1.0/24"], [internal("192.168.0.256")]),
      "has a value that is no address or network: 192.168.0.256",
    ],
    [
      "no InternalIP",
      item("odd", ["10.244.1.0/24"], [{ type: "Hostname", address: "odd" }]),
      "has no InternalIP",
    ],
    ["no status", { ...item("odd", ["10.244.1.0/24"], []), status: undefined }, "has no InternalIP"],
    [
      "the CIDR of an earlier node",
      item("odd", ["10.244.9.0/24"], ip),
      "has a pod CIDR of node good: 10.244.9.0/24",
    ],
  ])("tells of a node with %s, and keeps the others", (_what, odd, message) => {
    const last = item("last", ["10.244.8.0/24"], [internal("192.168.0.8")]);
    const { nodes, faults } = parseNodeList(list(GOOD, odd, last));
    expect(nodes.map(({ name }) => name)).toEqual(["good", "last"]);
    expect(nodes[0]).toEqual(GOOD_ENTRY);
    expect(faults).toEqual([{ node: odd.metadata.name, message }]);
  });

  test("names a Node of which something can't be read, and keeps the others", () => {
    const odd = { metadata: { name: "odd" }, spec: { podCIDRs: "10.0.0.0/8" } };
    expect(parseNodeList(list(GOOD, odd))).toEqual({
      nodes: [GOOD_ENTRY],
      faults: [{ node: "odd", message: 'is malformed: spec.podCIDRs: expected Array, got "10.0.0.0/8"' }],
    });
  });

  test("reads a list of the API, in whatever order its keys are", () => {
    const text = JSON.stringify({ items: [GOOD], metadata: { resourceVersion: "1" }, kind: "NodeList" });
    expect(parseNodeList(text).nodes).toEqual([GOOD_ENTRY]);
  });

  test.each([
    ["null", "items"],
    ["[]", "items"],
    ["{}", "items"],
    ['{"items":{}}', "items"],
    ['{"items":null}', "items"],
    ['{"kind":"PodList","items":[]}', "kind"],
    [
      '{"items":[{"kind":"Node","metadata":{"name":"a"}},{"kind":"Pod","metadata":{"name":"b"}}]}',
      "items.1.kind",
    ],
    ['{"items":[7]}', "items.0"],
  ])("refuses %s, which is no NodeList", (text, place) => {
    const error = thrown(() => parseNodeList(text));
    expect(error).toBeInstanceOf(SyntaxError);
    expect(error).toMatchObject({ message: expect.stringContaining(`not a NodeList: ${place}: expected `) });
  });

  test("makes a Node without a name a fault, and takes the rest", () => {
    const { nodes, faults } = parseNodeList(JSON.stringify({ items: [{ metadata: {} }, GOOD] }));
    expect(nodes).toEqual([GOOD_ENTRY]);
    expect(faults.map(({ node }) => node)).toEqual(["(no name)"]);
  });

  test.each(["", "nonsense", '{"items":['])("refuses %j, which is no JSON", (text) => {
    expect(thrown(() => parseNodeList(text))).toBeInstanceOf(SyntaxError);
  });
});

describe("formatNodeList", () => {
  test("writes what parseNodeList reads", () => {
    const dual: ClusterNode = {
      name: "dual",
      podCidrs: [prefix("10.244.1.0/24"), prefix("fd00:1::/64")],
      addresses: [address("192.168.0.1"), address("fd01::1")],
    };
    expect(parseNodeList(formatNodeList([GOOD_ENTRY, dual]))).toEqual({
      nodes: [GOOD_ENTRY, dual],
      faults: [],
    });
  });

  test("writes nodes in the form of the API", () => {
    expect(JSON.parse(formatNodeList([GOOD_ENTRY]))).toEqual({
      apiVersion: "v1",
      kind: "List",
      items: [
        {
          apiVersion: "v1",
          kind: "Node",
          metadata: { name: "good" },
          spec: { podCIDR: "10.244.9.0/24", podCIDRs: ["10.244.9.0/24"] },
          status: { addresses: [internal("192.168.0.9"), { type: "Hostname", address: "good" }] },
        },
      ],
    });
  });
});
