import { describe, expect, test } from "bun:test";
import { policiesCheck } from "../../../src/doctor/checks/b13-policies.ts";
import type { CniConfigs } from "../../../src/doctor/sections/cni-configs.ts";
import type { Policies } from "../../../src/doctor/sections/policies.ts";
import { findingsOf, linesOf } from "./facts.ts";

const BARE: CniConfigs = {
  confDir: "/etc/cni/net.d",
  files: [],
  before: [],
  links: [],
  chains: [],
  tables: [],
  routes: [],
  programs: [],
  seesHost: true,
  unseen: [],
};
const NONE: Policies = { count: 0, example: null, unasked: null, tables: [], programs: [] };
const SOME: Policies = { ...NONE, count: 3, example: "shop/deny-all" };
const UNASKED: Policies = { ...NONE, count: null, unasked: "no way" };
const chain = (name: string) => ({ program: "iptables-nft", table: "filter", chain: name });
const KNP = { tables: ["inet kube-network-policies"] };
const ROUTER = { chains: [chain("KUBE-ROUTER-FORWARD"), chain("KUBE-NWPLCY-DEFAULT")] };
const of = (policies: Policies, configs: Partial<CniConfigs> = {}) =>
  findingsOf(policiesCheck, { policies, cniConfigs: { ...BARE, ...configs } });

describe("B13, NetworkPolicy", () => {
  test.each<[string, Policies, Partial<CniConfigs>, string]>([
    [
      "no policies and no engine",
      NONE,
      {},
      "PASS B13 there are no NetworkPolicies; minicni would enforce none, and no engine is here",
    ],
    [
      "policies that nobody enforces",
      SOME,
      {},
      "WARN B13 3 NetworkPolicies, such as shop/deny-all, and nobody enforces them on this node",
    ],
    [
      "one that nobody enforces",
      { ...SOME, count: 1 },
      {},
      "WARN B13 1 NetworkPolicy, such as shop/deny-all, and nobody enforces it on this node",
    ],
    [
      "policies and kube-network-policies",
      { ...SOME, ...KNP, programs: ["netpol"] },
      {},
      "PASS B13 kube-network-policies enforces NetworkPolicies on this node; there are 3, such as shop/deny-all",
    ],
    [
      "kube-router in a k3s",
      SOME,
      { ...ROUTER, programs: ["k3s-server"] },
      "PASS B13 kube-router enforces NetworkPolicies on this node; there are 3, such as shop/deny-all",
    ],
    [
      "a k3s whose policy controller is off",
      SOME,
      { programs: ["k3s-server"] },
      "WARN B13 3 NetworkPolicies, such as shop/deny-all, and nobody enforces them on this node",
    ],
    [
      "Cilium by its links",
      SOME,
      { links: [{ name: "cilium_host", addresses: [] }], programs: ["cilium-agent"] },
      "PASS B13 Cilium enforces NetworkPolicies on this node; there are 3, such as shop/deny-all",
    ],
    [
      "an engine whose process can't be seen",
      SOME,
      { chains: [chain("cali-FORWARD")], seesHost: false },
      "PASS B13 Calico enforces NetworkPolicies on this node; there are 3, such as shop/deny-all",
    ],
    [
      "rules of an engine that does not run",
      SOME,
      { chains: [chain("cali-FORWARD")] },
      "WARN B13 3 NetworkPolicies, such as shop/deny-all, and nobody enforces them on this node (Calico left rules, and does not run)",
    ],
    [
      "the API not asked, no engine",
      UNASKED,
      {},
      "SKIP B13 NetworkPolicy: minicni enforces none, and no engine is seen here; whether there are any is not known (no way)",
    ],
    [
      "the API not asked, an engine",
      { ...UNASKED, ...KNP, programs: ["netpol"] },
      {},
      "PASS B13 kube-network-policies enforces NetworkPolicies on this node; whether there are any is not known (no way)",
    ],
    [
      "rules that can't be seen",
      SOME,
      { unseen: ["chains of iptables: Permission denied"] },
      "SKIP B13 NetworkPolicy: there are 3, such as shop/deny-all; who enforces them here can't be seen: chains of iptables: Permission denied",
    ],
    [
      "two engines",
      { ...SOME, ...KNP, programs: ["netpol"] },
      { ...ROUTER, programs: ["kube-router"] },
      "WARN B13 2 engines enforce NetworkPolicies on this node: kube-network-policies, kube-router",
    ],
  ])("%s", (_what, policies, configs, line) => {
    expect(linesOf(of(policies, configs))).toEqual([line]);
  });

  test("the marks are evidence, and what is missing is too", () => {
    expect(of({ ...SOME, ...KNP, programs: ["netpol"] })[0]?.evidence).toEqual([
      "kube-network-policies: process netpol",
      "kube-network-policies: table inet kube-network-policies",
    ]);
    expect(of(SOME)[0]?.evidence.at(-1)).toContain("KUBE-NWPLCY-*");
  });
});
