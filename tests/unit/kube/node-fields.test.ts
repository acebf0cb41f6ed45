import { describe, expect, test } from "bun:test";
import { networkUnavailableOf, parseNode, resourceVersionOf } from "../../../src/kube/node-fields.ts";
import { rawNode } from "./recorder.ts";

const keyOf = (value: unknown) => {
  const item = parseNode(value);
  return item.kind === "node" ? item.key : null;
};

describe("parseNode", () => {
  test("has one key for Nodes that differ only in what nobody reads", () => {
    const more = {
      metadata: {
        name: "node-1",
        resourceVersion: "77",
        managedFields: [{ manager: "kubelet" }],
        labels: { a: "b" },
      },
      status: {
        addresses: [
          { type: "Hostname", address: "elsewhere" },
          { type: "InternalIP", address: "192.168.0.1" },
        ],
        images: [{ names: ["x"] }],
        conditions: [{ type: "Ready", status: "False" }],
      },
    };
    expect(keyOf(rawNode(1, more))).toBe(keyOf(rawNode(1)));
  });

  test.each([
    ["name", rawNode(1, { metadata: { name: "other" } })],
    ["age", rawNode(1, { metadata: { name: "node-1", creationTimestamp: "2026-01-01T00:00:00Z" } })],
    ["pod CIDR", rawNode(1, { spec: { podCIDRs: ["10.9.0.0/24"] } })],
    ["loss of its pod CIDR", rawNode(1, { spec: {} })],
    ["InternalIP", rawNode(1, { status: { addresses: [{ type: "InternalIP", address: "192.168.0.2" }] } })],
    ["malformation", rawNode(1, { spec: null, status: 7 })],
  ])("has another key for another %s", (_what, other) => {
    expect(keyOf(other)).not.toBe(keyOf(rawNode(1)));
    expect(keyOf(other)).not.toBeNull();
  });

  test("takes null for what is not given, as Go writes it", () => {
    const item = parseNode({
      metadata: { name: "a", creationTimestamp: null },
      spec: { podCIDRs: null },
      status: null,
    });
    expect(item).toMatchObject({ fields: { podCidrs: [], internalIps: [], malformed: null, createdAt: "" } });
  });

  test("counts an odd timestamp as none", () => {
    const item = parseNode({ metadata: { name: "a", creationTimestamp: "yesterday" } });
    expect(item).toMatchObject({ fields: { createdAt: "" } });
  });

  test("keeps the name of a Node of which the rest can't be read", () => {
    expect(
      parseNode({ metadata: { name: "a" }, status: { addresses: [{ type: "InternalIP" }] } }),
    ).toMatchObject({
      fields: { name: "a", malformed: 'status.addresses.0.address: expected "address", got undefined' },
    });
  });

  test.each([
    [null],
    [7],
    [[]],
    [{}],
    [{ metadata: {} }],
    [{ metadata: { name: "" } }],
    [{ metadata: { name: 7 } }],
  ])("says that %j has no name", (value) => {
    expect(parseNode(value).kind).toBe("nameless");
  });
});

test("resourceVersionOf gives a version as it stands, or null", () => {
  expect(resourceVersionOf(rawNode(1, { metadata: { name: "a", resourceVersion: "0042" } }))).toBe("0042");
  for (const odd of [null, {}, { metadata: { resourceVersion: 7 } }, { metadata: { resourceVersion: "" } }]) {
    expect(resourceVersionOf(odd)).toBeNull();
  }
});

test.each([
  [[{ type: "NetworkUnavailable", status: "True" }], true],
  [
    [
      { type: "Ready", status: "True" },
      { type: "NetworkUnavailable", status: "False" },
    ],
    false,
  ],
  [[{ type: "NetworkUnavailable", status: "Unknown" }], null],
  [[{ type: "Ready", status: "True" }], null],
  [undefined, null],
  [[7], null],
])("networkUnavailableOf %j is %j", (conditions, expected) => {
  expect(networkUnavailableOf({ status: { conditions } })).toBe(expected);
});
