import { describe, expect, test } from "bun:test";
import { describeNodeRules, type NodeRulesWish } from "../../../src/topology/node-rules.ts";
import { address, prefix } from "../../twin/words.ts";

const WISH: NodeRulesWish = {
  podCidrs: [prefix("10.244.1.0/24"), prefix("fd00:244:1::/64")],
  clusterCidrs: [prefix("10.244.0.0/22"), prefix("fd00:244::/32")],
  nodeAddresses: ["192.0.2.10", "192.0.2.11", "192.0.2.20", "2001:db8::10"].map(address),
  nonMasqueradeCidrs: [prefix("172.16.0.0/12")],
  masquerade: true,
  masqueradeNodes: false,
  randomFully: true,
};

const rulesOf = (wish: NodeRulesWish, family: 4 | 6) =>
  (describeNodeRules(wish, family) ?? []).map(({ rules }) => rules);
const natOf = (wish: NodeRulesWish, family: 4 | 6 = 4) =>
  (rulesOf(wish, family)[1] ?? []).map((rule) => rule.replace("-A MINICNI-POSTROUTING ", ""));
const forwardOf = (wish: NodeRulesWish, family: 4 | 6 = 4) =>
  (rulesOf(wish, family)[0] ?? []).map((rule) => rule.replace("-A MINICNI-FORWARD ", ""));

describe("describeNodeRules", () => {
  test("accepts own pods first, then the cluster's", () => {
    expect(forwardOf(WISH)).toEqual([
      "-s 10.244.1.0/24 -j ACCEPT",
      "-d 10.244.1.0/24 -j ACCEPT",
      "-s 10.244.0.0/22 -j ACCEPT",
      "-d 10.244.0.0/22 -j ACCEPT",
    ]);
  });

  test("accepts a CIDR that is both once", () => {
    expect(forwardOf({ ...WISH, clusterCidrs: WISH.podCidrs })).toHaveLength(2);
  });

  test("lets kube-proxy's mark through first, spares the cluster, multicast and nodes, masquerades the rest", () => {
    expect(natOf(WISH)).toEqual([
      "-m mark --mark 0x4000/0x4000 -j RETURN",
      "! -s 10.244.1.0/24 -j RETURN",
      "-d 10.244.0.0/22 -j RETURN",
      "-d 172.16.0.0/12 -j RETURN",
      "-d 192.0.2.10/31 -j RETURN",
      "-d 192.0.2.20/32 -j RETURN",
      "-d 224.0.0.0/4 -j RETURN",
      "-s 10.244.1.0/24 -j MASQUERADE --random-fully",
    ]);
    expect(natOf(WISH, 6)).toEqual([
      "-m mark --mark 0x4000/0x4000 -j RETURN",
      "! -s fd00:244:1::/64 -j RETURN",
      "-d 2001:db8::10/128 -j RETURN",
      "-d fd00:244::/32 -j RETURN",
      "-d ff00::/8 -j RETURN",
      "-s fd00:244:1::/64 -j MASQUERADE --random-fully",
    ]);
  });

  test("masquerades towards nodes when wished, and link-local destinations always", () => {
    const found = natOf({ ...WISH, masqueradeNodes: true });
    expect(found.filter((rule) => rule.includes("192.0.2."))).toEqual([]);
    expect(natOf(WISH).filter((rule) => rule.includes("169.254"))).toEqual([]);
  });

  test("leaves --random-fully out where it is not known", () => {
    expect(natOf({ ...WISH, randomFully: false }).at(-1)).toBe("-s 10.244.1.0/24 -j MASQUERADE");
  });

  test("with two own CIDRs has no short cut for the others' traffic, which would cut off the second", () => {
    const found = natOf({ ...WISH, podCidrs: ["10.244.1.0/24", "10.244.3.0/24"].map(prefix) });
    expect(found.filter((rule) => rule.startsWith("!"))).toEqual([]);
    expect(found.filter((rule) => rule.includes("MASQUERADE"))).toHaveLength(2);
  });

  test("matches everything as it is printed: without a match", () => {
    const found = natOf({ ...WISH, nonMasqueradeCidrs: [prefix("0.0.0.0/0")] });
    expect(found.filter((rule) => rule.includes("0.0.0.0"))).toEqual([]);
    expect(found).toContain("-j RETURN");
  });

  test("wants no chain in a family in which self has no pod CIDR", () => {
    expect(rulesOf({ ...WISH, podCidrs: [prefix("10.244.1.0/24")] }, 6)).toEqual([null, null]);
  });

  test("without masquerade wants no chain in nat", () => {
    expect(rulesOf({ ...WISH, masquerade: false }, 4)).toEqual([expect.any(Array), null]);
  });

  test("says nothing as long as no pod CIDR is known", () => {
    expect(describeNodeRules({ ...WISH, podCidrs: [] }, 4)).toBeNull();
  });
});
