import { describe, expect, test } from "bun:test";
import { programsCheck } from "../../../src/doctor/checks/a1-programs.ts";
import type { Programs } from "../../../src/doctor/sections/programs.ts";
import { findingsOf, linesOf } from "./facts.ts";

const program = (name: string, version: string | null, path: string | null = `/usr/sbin/${name}`) => ({
  name,
  path,
  version,
});
const IPTABLES = program("iptables", "iptables v1.8.9 (nf_tables)");
const IP = program("ip", "ip utility, iproute2-6.1.0");
const NFT = program("nft", "nftables v1.0.6");
const NONE = [IP, program("iptables", null, null), program("nft", null, null)];
const variant = (name: "nft" | "legacy", kube: string[], ours: string[] = []) => ({
  variant: name,
  kube,
  ours,
  rules: kube.length + ours.length,
  families: [4 as const, 6 as const],
});
const HEALTHY: Programs = {
  found: [IP, IPTABLES, NFT],
  plain: "nft",
  variants: [variant("nft", ["KUBE-FORWARD"], ["MINICNI-FORWARD"]), variant("legacy", [])],
  agent: "nft",
  isImage: false,
  unseen: [],
};
const of = (facts: Partial<Programs>) => findingsOf(programsCheck, { programs: { ...HEALTHY, ...facts } });

describe("A1, programs", () => {
  test.each<[string, Partial<Programs>, string[]]>([
    [
      "all there, rules in one",
      {},
      ["PASS A1 ip utility, iproute2-6.1.0, iptables v1.8.9 (nf_tables), nftables v1.0.6"],
    ],
    [
      "no rules at all",
      { variants: [variant("nft", []), variant("legacy", [])], agent: null },
      ["PASS A1 ip utility, iproute2-6.1.0, iptables v1.8.9 (nf_tables), nftables v1.0.6"],
    ],
    [
      "neither iptables nor nft, before there is an agent",
      { found: NONE, plain: null, variants: [], agent: null },
      ["WARN A1 there is neither iptables nor nft on the PATH"],
    ],
    [
      "neither iptables nor nft on the node, and an agent with its own",
      { found: NONE, plain: null, variants: [] },
      ["PASS A1 ip utility, iproute2-6.1.0"],
    ],
    [
      "nft alone",
      { found: [IP, program("iptables", null, null), NFT], plain: null, variants: [] },
      ["PASS A1 ip utility, iproute2-6.1.0, nftables v1.0.6"],
    ],
    [
      "no ip",
      { found: [program("ip", null, null), IPTABLES, NFT], agent: null },
      ["WARN A1 there is no ip on the PATH"],
    ],
    [
      "kube-proxy in both",
      { variants: [variant("nft", ["KUBE-FORWARD"]), variant("legacy", ["KUBE-SERVICES"])] },
      [
        "WARN A1 kubelet or kube-proxy have rules in both iptables: nft (KUBE-FORWARD), legacy (KUBE-SERVICES)",
      ],
    ],
    [
      "ours in the other one",
      { variants: [variant("nft", ["KUBE-FORWARD"]), variant("legacy", [], ["MINICNI-FORWARD"])] },
      ["FAIL A1 our rules are in iptables-legacy, kube-proxy's in iptables-nft"],
    ],
    [
      "ours in both",
      { variants: [variant("nft", [], ["MINICNI-FORWARD"]), variant("legacy", [], ["MINICNI-FORWARD"])] },
      ["WARN A1 our rules are in both iptables"],
    ],
    [
      "the plain program is the other one",
      { plain: "legacy", found: [IP, program("iptables", "iptables v1.8.9 (legacy)"), NFT] },
      ["WARN A1 iptables on this node is legacy, and kube-proxy's rules are in nft"],
    ],
    [
      "the plain program of an image is another one than the node's",
      { plain: "legacy", isImage: true },
      ["PASS A1 ip utility, iproute2-6.1.0, iptables v1.8.9 (nf_tables), nftables v1.0.6"],
    ],
    [
      "kube-proxy's in one, somebody's in the other",
      { variants: [variant("nft", ["KUBE-FORWARD"]), { ...variant("legacy", []), rules: 3 }] },
      ["WARN A1 rules are in both iptables: nft (1), legacy (3)"],
    ],
    [
      "an iptables-nft that is too old",
      { found: [IP, program("iptables", "iptables v1.8.3 (nf_tables)"), NFT] },
      ["WARN A1 iptables v1.8.3 (nf_tables) loses parts of rules that newer ones wrote"],
    ],
    [
      "the first one that is not",
      { found: [IP, program("iptables", "iptables v1.8.4 (nf_tables)"), NFT] },
      ["PASS A1 ip utility, iproute2-6.1.0, iptables v1.8.4 (nf_tables), nftables v1.0.6"],
    ],
    [
      "what can't be looked at",
      {
        unseen: [
          "`iptables-nft-save -t nat`: iptables-nft-save v1.8.9 (nf_tables): you must be root",
          "`ip6tables-nft-save -t nat`: ip6tables-nft-save v1.8.9 (nf_tables): you must be root",
        ],
      },
      [
        "PASS A1 ip utility, iproute2-6.1.0, iptables v1.8.9 (nf_tables), nftables v1.0.6",
        "SKIP A1 programs: not looked at: `iptables-nft-save -t nat`, `ip6tables-nft-save -t nat`: you must be root",
      ],
    ],
  ])("%s", (_what, facts, lines) => {
    expect(linesOf(of(facts))).toEqual(lines);
  });

  const BOTH = [variant("nft", ["KUBE-FORWARD"]), variant("legacy", ["KUBE-FORWARD"])];
  const removalOf = (what: string, names: string) => [
    `iptables-${names}-save | grep -v '${what}' | iptables-${names}-restore`,
    `ip6tables-${names}-save | grep -v '${what}' | ip6tables-${names}-restore`,
  ];

  test.each<[string, Partial<Programs>, string[]]>([
    ["the agent's stay", { variants: BOTH }, removalOf("KUBE-\\|MINICNI-", "legacy")],
    [
      "the node's stay",
      { variants: BOTH, agent: null, plain: "legacy" },
      removalOf("KUBE-\\|MINICNI-", "nft"),
    ],
    [
      "those that kubelet marks stay",
      {
        variants: [variant("nft", ["KUBE-FORWARD"]), variant("legacy", ["KUBE-IPTABLES-HINT"])],
        agent: null,
      },
      removalOf("KUBE-\\|MINICNI-", "nft"),
    ],
  ])("of kube-proxy's rules in both %s", (_what, facts, commands) => {
    expect(of(facts)[0]?.fix.slice(1)).toEqual(commands);
  });

  test("of our rules in both those of the agent's choice stay", () => {
    const variants = [variant("nft", [], ["MINICNI-FORWARD"]), variant("legacy", [], ["MINICNI-FORWARD"])];
    expect(of({ variants })[0]?.fix).toEqual(removalOf("MINICNI-", "legacy"));
    expect(of({ variants, agent: "legacy" })[0]?.fix).toEqual(removalOf("MINICNI-", "nft"));
  });
});
