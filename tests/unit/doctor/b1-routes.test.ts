import { describe, expect, test } from "bun:test";
import { routesCheck } from "../../../src/doctor/checks/b1-routes.ts";
import { rulesCheck } from "../../../src/doctor/checks/b7-rules.ts";
import type { DryPassFacts } from "../../../src/doctor/sections/dry-pass.ts";
import { findingsOf, linesOf } from "./facts.ts";

const HEALTHY: DryPassFacts = {
  node: "n1",
  isLive: true,
  steps: [],
  conflicts: [],
  withheld: 0,
  peers: [],
  faults: [],
  routes: [{ family: 4, desired: 2, programmed: 2 }],
  rules: { variant: "nft", changes: [], faults: [], warnings: [], blocks: [] },
};
const step = (op: string, command: string, part: "network" | "rules" | "bridge" = "network") => ({
  op,
  part,
  command,
  why: "w",
});
const REPLACE = step("route.replace", "ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157");
const DELETE = step("route.del", "ip route del 10.244.9.0/24 via 10.9.0.9 dev eth0 proto 157");
const CONFLICT =
  "10.244.2.0/24: a route of protocol 3 by flannel.1 is in the way (flannel's); remove it: ip route del 10.244.2.0/24 dev flannel.1 proto 3";
const routes = (facts: Partial<DryPassFacts>) =>
  findingsOf(routesCheck, { dryPass: { ...HEALTHY, ...facts } });
const rules = (facts: Partial<DryPassFacts["rules"]>, steps: DryPassFacts["steps"] = []) =>
  findingsOf(rulesCheck, { dryPass: { ...HEALTHY, steps, rules: { ...HEALTHY.rules, ...facts } } });

describe("B1, routes", () => {
  test.each<[string, Partial<DryPassFacts>, string[]]>([
    ["all there", {}, ["PASS B1 routes to peers: 2 of 2 of IPv4"]],
    ["a node alone", { routes: [] }, ["PASS B1 routes to peers: none are wanted"]],
    [
      "one missing",
      { steps: [REPLACE] },
      ["FAIL B1 1 of 2 routes to peers missing, or other than wanted: 10.244.2.0/24"],
    ],
    ["one stale", { steps: [DELETE] }, ["WARN B1 1 route of ours that no Node accounts for: 10.244.9.0/24"]],
    [
      "one in the way",
      { conflicts: [CONFLICT] },
      ["FAIL B1 1 route of others where ours should be: 10.244.2.0/24"],
    ],
    [
      "some left",
      { withheld: 12, isLive: false },
      ["WARN B1 12 routes of ours that no Node accounts for are left for now"],
    ],
    [
      "a peer that is not reached",
      { peers: [{ node: "n3", message: "has no InternalIP" }] },
      ["WARN B1 1 peer not reached: n3"],
    ],
    [
      "a bridge without its gateway",
      { steps: [step("addr.replace", "ip addr replace 10.7.0.1/24 dev minicni0", "bridge")] },
      ["FAIL B1 the pods' bridge is not as it should be: 1 command would put it right"],
    ],
    [
      "steps that are no route's",
      { steps: [step("link.add", "ip link add x")] },
      ["PASS B1 routes to peers: 2 of 2 of IPv4"],
    ],
  ])("%s", (_what, facts, lines) => {
    expect(linesOf(routes(facts))).toEqual(lines);
  });

  test("what is in the way is removed by the command that its owner's name comes with", () => {
    expect(routes({ conflicts: [CONFLICT] })[0]).toMatchObject({
      evidence: [CONFLICT],
      fix: ["ip route del 10.244.2.0/24 dev flannel.1 proto 3"],
    });
  });

  test("of many commands the first are told, and where the others are", () => {
    const steps = Array.from({ length: 40 }, (_, at) =>
      step("route.replace", `ip route replace 10.244.${at}.0/24 dev x`),
    );
    expect(routes({ steps })[0]?.fix).toHaveLength(6);
    expect(routes({ steps })[0]?.fix.at(-1)).toBe("minicni plan  # and 35 more");
  });
});

describe("B7, masquerade and accept rules", () => {
  const RESTORE = step(
    "rules.restore",
    "iptables-nft-restore --noflush <<'EOF'\n*filter\nCOMMIT\nEOF",
    "rules",
  );

  test("as they should be are no finding", () => {
    expect(linesOf(rules({}))).toEqual([
      "PASS B7 masquerade and accept rules as they should be (iptables-nft)",
    ]);
  });

  test("a missing jump is told with chain and family, and the fix is the whole input", () => {
    const [finding] = rules({ changes: [{ family: 4, chain: "MINICNI-FORWARD", what: "missing jump" }] }, [
      RESTORE,
    ]);
    expect(finding).toMatchObject({
      level: "fail",
      message: "rules are not as they should be: IPv4 MINICNI-FORWARD: missing jump",
      fix: ["iptables-nft-restore --noflush <<'EOF'\n*filter\nCOMMIT\nEOF"],
    });
  });

  test("what only root may see is no fault of the node's", () => {
    const faults = ["EACCES: permission denied, open '/proc/net/ip_tables_names'"];
    expect(linesOf(rules({ faults }))).toEqual([
      `SKIP B7 masquerade and accept rules: not looked at: ${faults[0]}`,
    ]);
    expect(linesOf(rules({ faults: [...faults, "no iptables"] }))).toHaveLength(2);
  });

  test("what can't be brought about, and what others have, is told", () => {
    expect(linesOf(rules({ faults: ["no iptables"], warnings: ["KUBE-* chains in both"] }))).toEqual([
      "FAIL B7 the rules can't be brought to what they should be",
      "WARN B7 rules of others: KUBE-* chains in both",
    ]);
  });
});
