import { describe, expect, test } from "bun:test";
import { createDerived } from "../../../../src/entry/agent/derived.ts";
import { formatAddress } from "../../../../src/net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../../../../src/net/node.ts";
import { formatPrefix } from "../../../../src/net/prefix.ts";
import type { Lookup } from "../../../../src/topology/path.ts";
import { address, prefix } from "../../../twin/words.ts";

const node = (number: number): ClusterNode => ({
  name: `n${number}`,
  podCidrs: [prefix(`10.244.${number}.0/24`), prefix(`fd44:0:0:${number}::/64`)],
  addresses: [address(`10.9.0.${number}`), address(`fd09::${number}`)],
});
const SELF = node(1);
const SNAPSHOT: NodeSnapshot = { nodes: [SELF, node(2), node(3)], faults: [] };
/** n3 is behind a router. */
const LOOKUP: Lookup = (to) => ({
  gateway: formatAddress(to).endsWith("3") ? address("10.9.0.254") : null,
  ifindex: 2,
  isLocal: false,
});

describe("what is desired", () => {
  test("is a route of ours for each pod CIDR of each peer, by its way", () => {
    const derived = createDerived("auto");
    const paths = derived.paths(SNAPSHOT, SELF, LOOKUP);
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
    const paths = derived.paths(SNAPSHOT, SELF, LOOKUP);
    expect(derived.table(paths, { 4: null, 6: null }).count).toBe(2);
    expect(derived.table(paths, { 4: 7, 6: null }).count).toBe(3);
  });

  test("stays one object while nothing of it has changed", () => {
    const derived = createDerived("auto");
    const paths = derived.paths(SNAPSHOT, SELF, LOOKUP);
    expect(derived.paths(SNAPSHOT, SELF, LOOKUP)).toBe(paths);
    const table = derived.table(paths, { 4: 7, 6: 8 });
    expect(derived.table(paths, { 4: 7, 6: 8 })).toBe(table);
    expect(derived.table(paths, { 4: 9, 6: 8 })).not.toBe(table);
    expect(derived.paths({ ...SNAPSHOT }, SELF, LOOKUP)).not.toBe(paths);
    expect(derived.paths(SNAPSHOT, { ...SELF }, LOOKUP)).not.toBe(paths);
    expect(derived.paths(SNAPSHOT, SELF, (to) => LOOKUP(to))).not.toBe(paths);
  });
});
