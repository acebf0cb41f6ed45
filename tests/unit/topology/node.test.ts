import { describe, expect, test } from "bun:test";
import type { ClusterNode } from "../../../src/net/node.ts";
import { describeNode } from "../../../src/topology/node.ts";
import { address, describeRoute, prefix, thrown } from "../../twin/words.ts";

const node = (name: string, podCidrs: readonly string[], addresses: readonly string[]): ClusterNode => ({
  name,
  podCidrs: podCidrs.map(prefix),
  addresses: addresses.map(address),
});
const A = node("a", ["10.1.1.0/24", "fd00:1::/64"], ["192.168.0.1", "fd01::1"]);
const B = node("b", ["10.1.2.0/24", "fd00:2::/64"], ["fd01::2", "192.168.0.2", "192.168.9.2"]);
const C = node("c", ["10.1.3.0/24", "fd00:3::/64"], ["192.168.0.3"]);

describe("describeNode", () => {
  test("routes each peer's pod CIDRs by its first address of the same family", () => {
    expect(describeNode([A, B], "a", "eth0").routes.map(describeRoute)).toEqual([
      "10.1.2.0/24 via 192.168.0.2 dev eth0",
      "fd00:2::/64 via fd01::2 dev eth0",
    ]);
  });

  test("marks every route as ours", () => {
    const { routes } = describeNode([A, B, C], "b", "eth0");
    expect(routes.map(({ protocol }) => protocol)).toEqual([157, 157, 157]);
  });

  test("has no route to a CIDR whose family the peer has no address of, but lets it through", () => {
    const { routes, forward } = describeNode([A, C], "a", "eth0");
    expect(routes.map(describeRoute)).toEqual(["10.1.3.0/24 via 192.168.0.3 dev eth0"]);
    expect(forward.get(6)).toEqual([prefix("fd00:1::/64"), prefix("fd00:3::/64")]);
  });

  test("lets through the CIDRs of all nodes, its own too, by family", () => {
    expect(describeNode([A, B], "b", "eth0").forward).toEqual(
      new Map([
        [4, [prefix("10.1.1.0/24"), prefix("10.1.2.0/24")]],
        [6, [prefix("fd00:1::/64"), prefix("fd00:2::/64")]],
      ]),
    );
  });

  test("names both families, also where one has nothing", () => {
    const alone = node("alone", ["10.1.1.0/24"], ["192.168.0.1"]);
    expect(describeNode([alone], "alone", "eth0")).toEqual({
      routes: [],
      forward: new Map([
        [4, [prefix("10.1.1.0/24")]],
        [6, []],
      ]),
    });
  });

  test.each([[[A, B]], [[]]])("refuses a node that is not in the list", (nodes) => {
    expect(thrown(() => describeNode(nodes, "z", "eth0"))).toMatchObject({
      name: "RangeError",
      message: "node z is not in the NodeList",
    });
  });
});
