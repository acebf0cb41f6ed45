import { expect, test } from "bun:test";
import { createRulesWish } from "../../../../src/entry/agent/rules-wish.ts";
import type { ClusterNode } from "../../../../src/net/node.ts";
import { formatPrefix } from "../../../../src/net/prefix.ts";
import { prefix } from "../../../twin/words.ts";

const node = (number: number, ...podCidrs: string[]): ClusterNode => ({
  name: `n${number}`,
  podCidrs: podCidrs.map(prefix),
  addresses: [],
});
const dual = (number: number) => node(number, `10.244.${number}.0/24`, `fd44:0:0:${number}::/64`);

function wishOf(clusterCidrs: readonly string[], nodes: readonly ClusterNode[] = [dual(2), dual(3)]) {
  const chosen = { clusterCidrs: clusterCidrs.map(prefix), nonMasqueradeCidrs: [] };
  const describe = createRulesWish({ ...chosen, masquerade: true, masqueradeNodes: false });
  const { wish, uncovered } = describe({ nodes, faults: [] }, nodes[0] ?? dual(2), []);
  return { cidrs: wish.clusterCidrs.map(formatPrefix), uncovered };
}

test("without a choice the cluster CIDRs are those of the Nodes", () => {
  const cidrs = ["10.244.2.0/23", "fd44:0:0:2::/63"];
  expect(wishOf([])).toEqual({ cidrs, uncovered: null });
});

test("chosen ones stay as Nodes come and go; a family that is not named has those of the Nodes", () => {
  const both = ["10.244.0.0/16", "fd44::/48"];
  expect(wishOf(both)).toEqual({ cidrs: both, uncovered: null });
  expect(wishOf(["10.244.0.0/16"])).toEqual({ cidrs: ["10.244.0.0/16", "fd44:0:0:2::/63"], uncovered: null });
  expect(wishOf(["fd44::/48"])).toEqual({ cidrs: ["10.244.2.0/23", "fd44::/48"], uncovered: null });
  // Two that are one only together.
  expect(wishOf(["10.244.2.0/25", "10.244.2.128/25"], [node(2, "10.244.2.0/24")]).uncovered).toBeNull();
});

test("what they don't hold is one as well, and told by name with what to do", () => {
  const { cidrs, uncovered } = wishOf(["10.24.0.0/16", "fd44::/48"]);
  expect(cidrs).toEqual(["10.24.0.0/16", "10.244.2.0/23", "fd44::/48"]);
  expect(uncovered).toStartWith(
    "MINICNI_CLUSTER_CIDRS is 10.24.0.0/16,fd44::/48, which holds not all that Nodes have: pod CIDRs outside (2): n2 10.244.2.0/24; n3 10.244.3.0/24",
  );
  expect(uncovered).toContain("--pod-network-cidr");
});

test("a Node with a wider one is outside, and of many the first few are named", () => {
  expect(wishOf(["10.244.2.0/25"], [node(2, "10.244.2.0/24")]).uncovered).toContain(": n2 10.244.2.0/24");
  const many = Array.from({ length: 40 }, (_, index) => dual(index));
  expect(wishOf(["10.24.0.0/16"], many).uncovered).toContain("n4 10.244.4.0/24; and 35 more");
});

test("is the same object while nothing has changed", () => {
  const describe = createRulesWish({
    ...{ clusterCidrs: [], nonMasqueradeCidrs: [] },
    ...{ masquerade: true, masqueradeNodes: false },
  });
  const [self, paths] = [dual(2), [] as const];
  const snapshot = { nodes: [self], faults: [] };
  expect(describe(snapshot, self, paths)).toBe(describe(snapshot, self, paths));
  expect(describe({ ...snapshot }, self, paths)).not.toBe(describe(snapshot, self, paths));
});
