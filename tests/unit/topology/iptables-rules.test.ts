import { describe, expect, test } from "bun:test";
import { findForwardBlock } from "../../../src/topology/forward-blocks.ts";
import { targetOf, toNftTable } from "../../../src/topology/iptables-rules.ts";
import { prefix } from "../../twin/words.ts";

const TRAFFIC = {
  podCidrs: [prefix("10.244.1.0/24")],
  clusterCidrs: [prefix("10.244.0.0/16")],
  bridge: "minicni0",
};

/** What FORWARD does with the pods' packets: the drop by chain and place, and which ways it takes. */
function judge(policy: string, rules: readonly string[], others: Readonly<Record<string, string[]>> = {}) {
  const chain = (name: string, words: readonly string[]) => words.map((rule) => `-A ${name} ${rule}`);
  const chains = [
    { name: "FORWARD", policy, rules: chain("FORWARD", rules) },
    ...Object.entries(others).map(([name, words]) => ({ name, policy: null, rules: chain(name, words) })),
  ];
  const block = findForwardBlock(toNftTable(4, chains), TRAFFIC);
  if (block === null) return "passes";
  const { drop, ways } = block;
  return `${drop.chain} ${drop.handle ?? "policy"} ${ways.map(({ direction }) => direction).join(" ")}`;
}

describe("rules of iptables decide on pods' packets as the kernel does:", () => {
  test.each([
    ["a policy", "DROP", [], "FORWARD policy out in"],
    ["a rule for all", "ACCEPT", ["-j REJECT --reject-with icmp-host-prohibited"], "FORWARD 1 out in"],
    ["a rule behind an accept", "DROP", ["-s 10.244.0.0/16 -j ACCEPT", "-j DROP"], "passes"],
    ["one way alone", "DROP", ["-i minicni0 -j ACCEPT"], "FORWARD policy in"],
    ["a part of the pods", "DROP", ["-s 10.244.1.0/24 -j ACCEPT"], "passes"],
    ["a negated source", "ACCEPT", ["! -s 10.244.0.0/16 -j DROP"], "passes"],
    ["another source", "ACCEPT", ["! -s 10.0.0.0/24 -j DROP"], "FORWARD 1 out in"],
    ["one address", "ACCEPT", ["-s 10.1.1.1 -j DROP"], "passes"],
    ["links by name", "ACCEPT", ["-i minicni0 -j DROP"], "FORWARD 1 out"],
    ["links by wildcard", "ACCEPT", ["-o mini+ -j DROP"], "FORWARD 1 in"],
    ["links of others", "ACCEPT", ["-i docker0 -j DROP", "-o virbr0 -j DROP"], "passes"],
    [
      "answers alone",
      "DROP",
      ["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
      "FORWARD policy out in",
    ],
    ["new connections", "ACCEPT", ["-m state --state NEW -j DROP"], "FORWARD 1 out in"],
    ["another protocol", "ACCEPT", ["-p udp -j DROP"], "passes"],
    ["kube-proxy's mark", "DROP", ["-m mark --mark 0x4000/0x4000 -j ACCEPT"], "FORWARD policy out in"],
    ["a mark that is not known", "DROP", ["-m mark --mark 0x1 -j ACCEPT"], "passes"],
    ["a module that is not known", "DROP", ["-m set --match-set pods src -j ACCEPT"], "passes"],
    ["a comment", "ACCEPT", ['-m comment --comment "not -j ACCEPT" -j DROP'], "FORWARD 1 out in"],
    ["a log", "ACCEPT", ["-j LOG --log-prefix x", "-j DROP"], "FORWARD 2 out in"],
    ["a count", "DROP", ["-s 10.244.0.0/16"], "FORWARD policy out in"],
    ["a target that is not known", "DROP", ["-j NFQUEUE --queue-num 1"], "passes"],
  ])("%s", (_what, policy, rules, wanted) => {
    expect(judge(policy, rules)).toBe(wanted);
  });

  test("chains that rules lead to", () => {
    expect(judge("ACCEPT", ["-j ufw-forward"], { "ufw-forward": ["-j DROP"] })).toBe("ufw-forward 1 out in");
    expect(judge("DROP", ["-j DOCKER-USER"], { "DOCKER-USER": ["-j RETURN"] })).toBe("FORWARD policy out in");
    expect(judge("DROP", ["-g own"], { own: ["-d 10.244.0.0/16 -j ACCEPT"] })).toBe("passes");
    expect(judge("DROP", ["-j SOMETHING"])).toBe("passes");
  });
});

test("where a rule leads", () => {
  expect(targetOf("-A FORWARD -s 10.0.0.0/8 -j MINICNI-FORWARD")).toBe("MINICNI-FORWARD");
  expect(targetOf("-A FORWARD -g own")).toBe("own");
  expect(targetOf('-A FORWARD -m comment --comment "-j x"')).toBeNull();
});
