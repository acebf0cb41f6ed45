import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { describeNodeRules, NODE_CHAINS, type NodeRulesWish } from "../../../src/topology/node-rules.ts";
import {
  type ObservedChain,
  planNodeRules,
  planNodeRulesRemoval,
} from "../../../src/topology/node-rules-plan.ts";
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

const DESIRED = describeNodeRules(WISH, 4) ?? [];
const [FORWARD_RULES = [], NAT_RULES = []] = DESIRED.map(({ rules }) => rules ?? []);
const JUMP = "-A FORWARD -j MINICNI-FORWARD";
const NAT_JUMP = "-A POSTROUTING -j MINICNI-POSTROUTING";
const DOCKER = ["-A FORWARD -j DOCKER-USER", "-A FORWARD -o docker0 -j DOCKER"];
const KUBE = ['-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD'];
const REJECT = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited";

/** What is there: in FORWARD and in our chain of filter; nat is as desired unless said otherwise. */
function observed(
  forward: readonly string[],
  ours: readonly string[] | null = FORWARD_RULES,
  postrouting: readonly string[] = [NAT_JUMP],
  nat: readonly string[] | null = NAT_RULES,
): ObservedChain[] {
  const found = [
    { rules: ours, baseRules: forward },
    { rules: nat, baseRules: postrouting },
  ];
  return NODE_CHAINS.map((chain, index) => ({ ...chain, rules: null, baseRules: [], ...found[index] }));
}

const planOf = (found: readonly ObservedChain[], mayMove = true) =>
  planNodeRules(4, undefined, DESIRED, found, mayMove);
const linesOf = ({ plan }: ReturnType<typeof planOf>) =>
  plan.flatMap((step) => (step.op === "rules.restore" ? step.lines : [step.op]));

describe("planNodeRules", () => {
  test("makes all of a family in one restore, whole", () => {
    const { plan } = planNodeRules(4, "legacy", DESIRED, observed([], null, [], null));
    expect(
      formatPlan(plan),
    ).toBe(`# MINICNI-FORWARD: missing chain, MINICNI-FORWARD: missing jump, MINICNI-POSTROUTING: missing chain, MINICNI-POSTROUTING: missing jump
iptables-legacy-restore --noflush -w 10 <<'EOF'
*filter
:MINICNI-FORWARD - [0:0]
-A MINICNI-FORWARD -s 10.244.1.0/24 -j ACCEPT
-A MINICNI-FORWARD -d 10.244.1.0/24 -j ACCEPT
-A MINICNI-FORWARD -s 10.244.0.0/22 -j ACCEPT
-A MINICNI-FORWARD -d 10.244.0.0/22 -j ACCEPT
-I FORWARD 1 -j MINICNI-FORWARD
COMMIT
*nat
:MINICNI-POSTROUTING - [0:0]
-A MINICNI-POSTROUTING -m mark --mark 0x4000/0x4000 -j RETURN
-A MINICNI-POSTROUTING ! -s 10.244.1.0/24 -j RETURN
-A MINICNI-POSTROUTING -d 10.244.0.0/22 -j RETURN
-A MINICNI-POSTROUTING -d 172.16.0.0/12 -j RETURN
-A MINICNI-POSTROUTING -d 192.0.2.10/31 -j RETURN
-A MINICNI-POSTROUTING -d 192.0.2.20/32 -j RETURN
-A MINICNI-POSTROUTING -d 224.0.0.0/4 -j RETURN
-A MINICNI-POSTROUTING -s 10.244.1.0/24 -j MASQUERADE --random-fully
-I POSTROUTING 1 -j MINICNI-POSTROUTING
COMMIT
EOF
`);
  });

  test.each([
    ["alone", [JUMP]],
    ["before others", [JUMP, ...DOCKER, REJECT]],
    ["behind jumps of others", [...DOCKER, ...KUBE, JUMP, REJECT]],
  ])("changes nothing when all is as desired: the jump %s", (_how, forward) => {
    expect(planOf(observed(forward))).toEqual({ plan: [], changes: [], waiting: [] });
  });

  const REMOVE = "-D FORWARD -j MINICNI-FORWARD";
  const FIRST = "-I FORWARD 1 -j MINICNI-FORWARD";
  const CALICO = '-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD';
  const ROUTER = '-A FORWARD -m comment --comment "kube-router netpol - X" -j KUBE-ROUTER-FORWARD';
  test.each([
    ["missing jump", "is missing", DOCKER, [FIRST]],
    ["extra jump", "stands there twice", [JUMP, ...DOCKER, JUMP], [REMOVE, REMOVE, FIRST]],
    [
      "extra jump",
      "has a condition",
      [JUMP.replace(" -j", " -i eth0 -j")],
      ["-D FORWARD -i eth0 -j MINICNI-FORWARD", FIRST],
    ],
    ["extra jump", "is a goto", [JUMP.replace("-j", "-g")], [REMOVE.replace("-j", "-g"), FIRST]],
    ["missing jump", "leads to a chain of a longer name", [`${JUMP}-2`], [FIRST]],
    ["jump behind a refusal", "is behind a REJECT", [...DOCKER, REJECT, JUMP], [REMOVE, FIRST]],
    ["jump behind a refusal", "is behind a DROP", ["-A FORWARD -j DROP", JUMP], [REMOVE, FIRST]],
    ["missing jump", "would pass by Calico's policies", [CALICO, ...DOCKER], [FIRST.replace("1", "2")]],
    ["missing jump", "would pass by kube-router's policies", [ROUTER], [FIRST.replace("1", "2")]],
    [
      "jump behind a refusal",
      "is behind policies and a DROP",
      [ROUTER, "-A FORWARD -j DROP", JUMP],
      [REMOVE, FIRST.replace("1", "2")],
    ],
  ] as const)("puts the jump where it belongs (%s) when it %s", (what, _how, forward, moves) => {
    const found = planOf(observed(forward));
    expect(linesOf(found)).toEqual(["*filter", ...moves, "COMMIT"]);
    expect(found.changes).toEqual([{ family: 4, chain: "MINICNI-FORWARD", what }]);
  });

  test("tells a jump behind a refusal as waiting when it may not move, and repairs the rest", () => {
    const found = planOf(observed([REJECT, JUMP], []), false);
    expect(found.waiting).toEqual(["MINICNI-FORWARD"]);
    expect(linesOf(found)).toEqual(["*filter", ":MINICNI-FORWARD - [0:0]", ...FORWARD_RULES, "COMMIT"]);
    expect(planOf(observed([REJECT]), false).changes).toMatchObject([{ what: "missing jump" }]);
  });

  test.each([
    ["are gone", []],
    ["lack one", FORWARD_RULES.slice(1)],
    ["have one more", [...FORWARD_RULES, "-A MINICNI-FORWARD -j DROP"]],
    ["are in another order", FORWARD_RULES.toReversed()],
  ])("replaces the chain and leaves the jump when the rules %s", (_how, ours) => {
    const found = planOf(observed([...DOCKER, JUMP], ours));
    expect(linesOf(found)).toEqual(["*filter", ":MINICNI-FORWARD - [0:0]", ...FORWARD_RULES, "COMMIT"]);
    expect(found.changes).toMatchObject([{ what: "rules differ" }]);
  });

  test("touches only the table that differs", () => {
    expect(linesOf(planOf(observed([JUMP], FORWARD_RULES, []))).join("\n")).toBe(
      "*nat\n-I POSTROUTING 1 -j MINICNI-POSTROUTING\nCOMMIT",
    );
  });

  test("leaves a table alone that could not be read", () => {
    expect(planOf(observed([JUMP]).slice(0, 1)).plan).toEqual([]);
  });

  test("never names a foreign rule or chain", () => {
    const found = linesOf(planOf(observed([...DOCKER, ...KUBE, REJECT], null, [], null)));
    const foreign = found.filter((line) => !/^(\*|COMMIT$)/.test(line) && !line.includes("MINICNI-"));
    expect(found.length).toBeGreaterThan(8);
    expect(foreign).toEqual([]);
    // A line with a built-in chain would set its policy.
    expect(found.filter((line) => /^:(?!MINICNI-)/.test(line))).toEqual([]);
  });

  test("takes away the chain and every jump of what is not wanted, by the words it was made with", () => {
    const off = describeNodeRules({ ...WISH, masquerade: false }, 4) ?? [];
    const odd = '-A POSTROUTING -m comment --comment "by hand" -j MINICNI-POSTROUTING';
    const found = planNodeRules(4, undefined, off, observed([JUMP], FORWARD_RULES, [odd, NAT_JUMP]));
    expect(linesOf(found)).toEqual([
      "*nat",
      ":MINICNI-POSTROUTING - [0:0]",
      odd.replace("-A", "-D"),
      NAT_JUMP.replace("-A", "-D"),
      "-X MINICNI-POSTROUTING",
      "COMMIT",
    ]);
    expect(planNodeRules(4, undefined, off, observed([JUMP], FORWARD_RULES, [], null)).plan).toEqual([]);
  });
});

describe("planNodeRulesRemoval", () => {
  test("takes all of it away, whole", () => {
    const { plan } = planNodeRulesRemoval(6, "nft", observed([...DOCKER, JUMP]));
    expect(formatPlan(plan)).toBe(`# MINICNI-FORWARD: unwanted chain, MINICNI-POSTROUTING: unwanted chain
ip6tables-nft-restore --noflush -w 10 <<'EOF'
*filter
:MINICNI-FORWARD - [0:0]
-D FORWARD -j MINICNI-FORWARD
-X MINICNI-FORWARD
COMMIT
*nat
:MINICNI-POSTROUTING - [0:0]
-D POSTROUTING -j MINICNI-POSTROUTING
-X MINICNI-POSTROUTING
COMMIT
EOF
`);
  });

  test("is nothing where there is nothing of ours", () => {
    expect(planNodeRulesRemoval(4, "nft", observed(DOCKER, null, [], null)).plan).toEqual([]);
  });
});
