import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { NodeFields } from "../../../src/kube/node-fields.ts";
import { toEntry, toSnapshot } from "../../../src/kube/snapshot.ts";
import { isSameAddress } from "../../../src/net/address.ts";
import { overlaps } from "../../../src/net/prefix.ts";

const fields = (name: string, podCidrs: string[], internalIps: string[], createdAt = ""): NodeFields => ({
  name,
  createdAt,
  podCidrs,
  internalIps,
  malformed: null,
});
const faultOf = (podCidrs: string[], internalIps: string[]) =>
  toEntry(fields("odd", podCidrs, internalIps)).fault;
const snapshotOf = (...all: NodeFields[]) => toSnapshot(all.map(toEntry));
const OLD = "2026-01-01T00:00:00Z";
const YOUNG = "2026-02-01T00:00:00Z";

describe("toEntry", () => {
  test.each([
    ["10.1.0.0/24", "fd00::/64"],
    ["240.1.0.0/24", "fd00::/64"],
    ["192.0.2.1/32", "2001:db8::1/128"],
  ])("takes the pod CIDRs %s and %s", (v4, v6) => {
    expect(faultOf([v4, v6], ["192.168.0.1", "fd01::1"])).toBeNull();
  });

  test.each([
    ["0.0.0.0/0", "everything"],
    ["::/0", "everything"],
    ["0.0.0.0/8", "unspecified"],
    ["127.0.0.0/24", "loopback"],
    ["64.0.0.0/2", "loopback"],
    ["169.254.1.0/24", "link-local"],
    ["239.0.0.0/8", "multicast"],
    ["fe80::/64", "link-local"],
    ["ff02::/16", "multicast"],
    ["::ffff:10.0.0.0/104", "IPv4-mapped"],
    ["::1/128", "loopback"],
  ])("refuses the pod CIDR %s: %s", (cidr, why) => {
    expect(faultOf([cidr], ["192.168.0.1"])).toMatch(
      new RegExp(`^has a pod CIDR that can't be routed: .*\\(${why}\\)$`),
    );
  });

  test.each([
    ["0.0.0.0", "unspecified"],
    ["127.0.0.1", "loopback"],
    ["169.254.169.254", "link-local"],
    ["224.0.0.1", "multicast"],
    ["255.255.255.255", "broadcast"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["fe80::1", "link-local"],
    ["ff02::1", "multicast"],
    ["::ffff:192.168.0.1", "IPv4-mapped"],
  ])("refuses the InternalIP %s: %s", (address, why) => {
    expect(faultOf(["10.1.0.0/24"], ["192.168.0.1", address])).toBe(
      `has an InternalIP that no other node can reach: ${address} (${why})`,
    );
  });

  test("refuses two pod CIDRs of a family, and an InternalIP inside one", () => {
    expect(faultOf(["10.1.0.0/24", "fd00::/64", "10.2.0.0/24"], ["192.168.0.1"])).toBe(
      "has more than one IPv4 pod CIDR: 10.1.0.0/24, 10.2.0.0/24",
    );
    expect(faultOf(["10.1.0.0/24"], ["192.168.0.1", "10.1.0.7"])).toBe(
      "has its InternalIP 10.1.0.7 inside its pod CIDR 10.1.0.0/24",
    );
  });
});

describe("toSnapshot", () => {
  const old = fields("z-old", ["10.1.0.0/24"], ["192.168.0.1"], OLD);

  test.each([
    [
      "one pod CIDR",
      fields("a-young", ["10.1.0.0/24"], ["192.168.0.2"], YOUNG),
      "has a pod CIDR of node z-old: 10.1.0.0/24",
    ],
    [
      "a wider pod CIDR",
      fields("a-young", ["10.0.0.0/8"], ["192.168.0.2"], YOUNG),
      "has a pod CIDR of node z-old: 10.0.0.0/8",
    ],
    [
      "a narrower pod CIDR",
      fields("a-young", ["10.1.0.64/26"], ["192.168.0.2"], YOUNG),
      "has a pod CIDR of node z-old: 10.1.0.64/26",
    ],
    [
      "one address",
      fields("a-young", ["10.2.0.0/24"], ["192.168.0.1"], YOUNG),
      "has an InternalIP of node z-old: 192.168.0.1",
    ],
    ["one name", fields("z-old", ["10.2.0.0/24"], ["192.168.0.2"], YOUNG), "is in the list twice"],
    [
      "one pod CIDR and no age",
      fields("a-ageless", ["10.1.0.0/24"], ["192.168.0.2"]),
      "has a pod CIDR of node z-old: 10.1.0.0/24",
    ],
  ])("leaves what an older Node has to it: %s, in either order", (_what, young, message) => {
    for (const snapshot of [snapshotOf(old, young), snapshotOf(young, old)]) {
      expect(snapshot.nodes).toEqual([expect.objectContaining({ podCidrs: toEntry(old).node?.podCidrs })]);
      expect(snapshot.faults).toEqual([{ node: young.name, message }]);
    }
  });

  test("goes by name among Nodes of one age", () => {
    const other = fields("a", ["10.1.0.0/24"], ["192.168.0.2"], OLD);
    expect(snapshotOf(old, other).nodes.map(({ name }) => name)).toEqual(["a"]);
  });

  test("lets what is left out claim nothing", () => {
    const middle = fields("middle", ["10.1.0.0/24", "fd00::/64"], ["192.168.0.2"], YOUNG);
    const last = fields("last", ["fd00::/64"], ["192.168.0.2"], "2026-03-01T00:00:00Z");
    expect(snapshotOf(old, middle, last).nodes.map(({ name }) => name)).toEqual(["z-old", "last"]);
  });

  test("does not take ::a00:1 for 10.0.0.1", () => {
    const v4 = fields("a", ["10.1.0.0/24"], ["10.0.0.1"]);
    const v6 = fields("b", ["fd00::/64"], ["::a00:1"]);
    expect(snapshotOf(v4, v6).faults).toEqual([]);
  });

  test("decides as a comparison of each with each does, in any order", () => {
    const cidr = fc.oneof(
      fc
        .tuple(fc.nat(3), fc.constantFrom(8, 15, 16, 24))
        .map(([x, length]) => `${networkText(10 + (x % 2), x, length)}`),
      fc.tuple(fc.nat(3), fc.constantFrom(32, 64)).map(([x, length]) => `fd00:${x}::/${length}`),
    );
    const node = fc.record({
      name: fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h"),
      podCidrs: fc.array(cidr, { minLength: 1, maxLength: 2 }),
      internalIps: fc.array(
        fc.nat(9).map((x) => `192.168.0.${x}`),
        { minLength: 1, maxLength: 2 },
      ),
      createdAt: fc.constantFrom("", OLD, YOUNG),
      malformed: fc.constant(null),
    });
    const distinct = fc.uniqueArray(node, { selector: ({ name }) => name, maxLength: 8 });
    fc.assert(
      fc.property(distinct, fc.infiniteStream(fc.nat()), (nodes, order) => {
        const expected = keptByComparison(nodes);
        const shuffled = nodes.map((item) => ({ item, at: order.next().value })).sort((a, b) => a.at - b.at);
        const kept = snapshotOf(...shuffled.map(({ item }) => item)).nodes.map(({ name }) => name);
        expect(kept.sort()).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});

function networkText(first: number, second: number, length: number): string {
  return length === 8 ? `${first}.0.0.0/8` : `${first}.${length === 15 ? second & ~1 : second}.0.0/${length}`;
}

/** The same rule, each Node compared with each older one. */
function keptByComparison(nodes: readonly NodeFields[]): string[] {
  const age = ({ createdAt }: NodeFields) => (createdAt === "" ? "9" : createdAt);
  const key = (node: NodeFields) => `${age(node)} ${node.name}`;
  const kept: NonNullable<ReturnType<typeof toEntry>["node"]>[] = [];
  for (const item of [...nodes].sort((a, b) => (key(a) < key(b) ? -1 : 1))) {
    const { node } = toEntry(item);
    if (node === null) continue;
    const clashes = kept.some(
      (other) =>
        node.podCidrs.some((a) => other.podCidrs.some((b) => overlaps(a, b))) ||
        node.addresses.some((a) => other.addresses.some((b) => isSameAddress(a, b))),
    );
    if (!clashes) kept.push(node);
  }
  return kept.map(({ name }) => name).sort();
}

test("a Node that is there twice, word for word, is one Node", () => {
  const twice = toEntry(fields("a", ["10.1.0.0/24"], ["192.168.0.1"], OLD));
  expect(toSnapshot([twice, twice])).toEqual({ nodes: [expect.objectContaining({ name: "a" })], faults: [] });
});

describe("a pod CIDR that holds InternalIPs of other Nodes", () => {
  const wide = (createdAt: string) =>
    fields("wide", ["10.99.0.0/25", "fd00:5::/64"], ["10.99.0.200"], createdAt);
  const at = (name: string, ip: string, createdAt: string) =>
    fields(name, [`10.5.${name.length}.0/24`], [ip], createdAt);
  const judged = (...all: NodeFields[]) => {
    const { nodes, faults } = snapshotOf(...all);
    return [nodes.map(({ name }) => name), faults.map(({ node, message }) => `${node} ${message}`)];
  };

  test("is wrong where the other Node is older", () => {
    expect(judged(wide(YOUNG), at("a", "10.99.0.2", OLD))).toEqual([
      ["a"],
      ["wide has a pod CIDR that holds the InternalIP 10.99.0.2 of node a: 10.99.0.0/25"],
    ]);
  });

  test("is wrong where it holds those of two, however young they are", () => {
    const young = [at("a", "10.99.0.2", YOUNG), at("bb", "10.99.0.3", YOUNG)];
    expect(judged(wide(OLD), ...young)).toEqual([
      ["a", "bb"],
      ["wide has a pod CIDR that holds the InternalIP 10.99.0.2 of node a and of others: 10.99.0.0/25"],
    ]);
  });

  test("is right where one younger Node claims an address in it", () => {
    expect(judged(wide(OLD), at("a", "10.99.0.2", YOUNG))).toEqual([
      ["wide"],
      ["a has an InternalIP in a pod CIDR of node wide: 10.99.0.2"],
    ]);
  });

  test("counts IPv6 as well, and the addresses of a Node that is left out for another reason", () => {
    const twin = fields("b", ["10.5.9.0/24"], ["fd00:5::7"], YOUNG);
    const first = fields("a", ["10.5.9.0/24"], ["10.8.0.1"], OLD);
    expect(
      judged(first, fields("wide", ["fd00:5::/64"], ["10.8.0.9"], "2026-03-01T00:00:00Z"), twin),
    ).toEqual([
      ["a"],
      [
        "wide has a pod CIDR that holds the InternalIP fd00:5::7 of node b: fd00:5::/64",
        "b has a pod CIDR of node a: 10.5.9.0/24",
      ],
    ]);
  });
});

test("a pod CIDR may not hold an InternalIP of an older Node that is left out itself", () => {
  const wide = fields("wide", ["10.99.0.0/25"], ["10.98.0.1"], YOUNG);
  const broken = fields("n1", [], ["10.99.0.1"], OLD);
  expect(snapshotOf(wide, broken).faults).toContainEqual({
    node: "wide",
    message: "has a pod CIDR that holds the InternalIP 10.99.0.1 of node n1: 10.99.0.0/25",
  });
});
