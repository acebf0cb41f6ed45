import { describe, expect, test } from "bun:test";
import { createDerived } from "../../../../src/entry/agent/derived.ts";
import type { Reach } from "../../../../src/entry/agent/lookups.ts";
import { formatAddress } from "../../../../src/net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../../../../src/net/node.ts";
import { formatPrefix } from "../../../../src/net/prefix.ts";

import { address, prefix } from "../../../twin/words.ts";

const node = (number: number): ClusterNode => ({
  name: `n${number}`,
  podCidrs: [prefix(`10.244.${number}.0/24`), prefix(`fd44:0:0:${number}::/64`)],
  addresses: [address(`10.9.0.${number}`), address(`fd09::${number}`)],
});
const SELF = node(1);
const SNAPSHOT: NodeSnapshot = { nodes: [SELF, node(2), node(3)], faults: [] };
/** n3 is behind a router. */
const REACH: Reach = {
  lookup: (to) => ({
    gateway: formatAddress(to).endsWith("3") ? address("10.9.0.254") : null,
    ifindex: 2,
    isLocal: false,
  }),
  isLost: () => false,
  gateways: [{ address: address("10.9.0.254"), ownLength: 0 }],
};

describe("what is desired", () => {
  test("is a route of ours for each pod CIDR of each peer, by its way", () => {
    const derived = createDerived("auto");
    const paths = derived.paths(SNAPSHOT, SELF, REACH);
    const table = derived.table(paths, { 4: 7, 6: 8 });
    const routes = Array.from({ length: table.count }, (_, index) => table.at(index));
    expect(
      routes.map(({ dst, via, ifindex, isOnlink, protocol }) =>
        [formatPrefix(dst), via && formatAddress(via), ifindex, isOnlink, protocol].join(" "),
      ),
    ).toEqual([
      "10.244.2.0/24 10.9.0.2 2 false 157",
      "fd44:0:0:2::/64 fd09::2 2 false 157",
      "10.244.3.0/24 10.244.3.0 7 true 157",
      "fd44:0:0:3::/64 fe80::ca8:3fff:fee6:a839 8 true 157",
    ]);
    expect([...paths.desired]).toEqual([
      [4, 2],
      [6, 2],
    ]);
  });

  test("leaves out what would go through a device that is not there", () => {
    const derived = createDerived("auto");
    const paths = derived.paths(SNAPSHOT, SELF, REACH);
    expect(derived.table(paths, { 4: null, 6: null }).count).toBe(2);
    expect(derived.table(paths, { 4: 7, 6: null }).count).toBe(3);
  });

  test("stays one object while nothing of it has changed", () => {
    const derived = createDerived("auto");
    const paths = derived.paths(SNAPSHOT, SELF, REACH);
    expect(derived.paths(SNAPSHOT, SELF, REACH)).toBe(paths);
    const table = derived.table(paths, { 4: 7, 6: 8 });
    expect(derived.table(paths, { 4: 7, 6: 8 })).toBe(table);
    expect(derived.table(paths, { 4: 9, 6: 8 })).not.toBe(table);
    expect(derived.paths({ ...SNAPSHOT }, SELF, REACH)).not.toBe(paths);
    expect(derived.paths(SNAPSHOT, { ...SELF }, REACH)).not.toBe(paths);
    expect(derived.paths(SNAPSHOT, SELF, { ...REACH })).not.toBe(paths);
  });

  test("makes only what has changed anew when one peer of many has", () => {
    const derived = createDerived("auto");
    const first = derived.paths(SNAPSHOT, SELF, REACH);
    derived.table(first, { 4: 7, 6: 8 });
    const moved = { ...node(3), addresses: [address("10.9.0.77")] };
    const second = derived.paths(
      { ...SNAPSHOT, nodes: [SELF, moved, node(4), SNAPSHOT.nodes[1] ?? SELF] },
      SELF,
      REACH,
    );
    expect(second.paths.slice(-2)).toEqual(first.paths.slice(0, 2));
    expect(second.paths.at(-1)).toBe(first.paths[1]);
    const table = derived.table(second, { 4: 7, 6: 8 });
    const anew = createDerived("auto");
    const whole = anew.table(
      anew.paths({ nodes: [SELF, moved, node(4), node(2)], faults: [] }, SELF, REACH),
      { 4: 7, 6: 8 },
    );
    expect(table.words).toEqual(whole.words);
  });

  test("has no route that would take the way to a gateway of this node", () => {
    const wide = { ...node(2), podCidrs: [prefix("10.9.0.128/25")] };
    const { paths, faults } = createDerived("auto").paths(
      { nodes: [SELF, wide, node(3)], faults: [] },
      SELF,
      REACH,
    );
    expect(paths.map(({ peer }) => peer.name)).toEqual(["n3", "n3"]);
    expect(faults.map(({ node: name, message }) => `${name} ${message}`)).toEqual([
      "n2 its pod CIDR 10.9.0.128/25 holds 10.9.0.254, a gateway of this node",
    ]);
  });

  test("has its routes beside others' that lead to their own gateway: ours are no longer and can't take it", () => {
    const held = (ownLength: number) => ({
      ...REACH,
      gateways: [{ address: address("10.244.2.0"), ownLength }],
    });
    const reached = (ownLength: number) =>
      createDerived("auto")
        .paths(SNAPSHOT, SELF, held(ownLength))
        .paths.map(({ dst }) => formatPrefix(dst));
    for (const ownLength of [24, 32]) expect(reached(ownLength)).toContain("10.244.2.0/24");
    for (const ownLength of [-1, 0, 16, 23]) expect(reached(ownLength)).not.toContain("10.244.2.0/24");
  });

  test("gives IPv4 routes metrics of their own in a large cluster, and keeps them until it is much smaller", () => {
    const nodes = Array.from({ length: 1_200 }, (_, index) => ({
      ...node(2),
      name: `m${index}`,
      podCidrs: [prefix(`10.${index >> 8}.${index & 255}.0/24`)],
    }));
    const derived = createDerived("host-gw");
    const metrics = (count: number) => {
      const snapshot = { nodes: [SELF, ...nodes.slice(0, count)], faults: [] };
      const table = derived.table(derived.paths(snapshot, SELF, REACH), { 4: null, 6: null });
      return new Set(Array.from({ length: table.count }, (_, index) => table.at(index).metric)).size;
    };
    expect([900, 1_200, 900, 400, 900].map(metrics)).toEqual([1, 1_200, 900, 1, 1]);
  });
});
