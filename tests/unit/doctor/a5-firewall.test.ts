import { describe, expect, test } from "bun:test";
import { firewallCheck } from "../../../src/doctor/checks/a5-firewall.ts";
import type { Firewall } from "../../../src/doctor/sections/firewall.ts";
import { findingsOf, linesOf } from "./facts.ts";

const QUIET: Firewall = {
  isInUse: true,
  bridge: "minicni0",
  podCidrs: ["10.244.1.0/24"],
  clusterCidrs: ["10.244.0.0/16"],
  hasNodes: true,
  iptables: [],
  tables: [],
  blocks: [],
  bridgeNf: [{ family: 4, value: 1 }],
  hasProxy: false,
  unseen: [],
};

const of = (change: Partial<Firewall>) => findingsOf(firewallCheck, { firewall: { ...QUIET, ...change } });

function iptables(
  policy: string,
  rules: readonly string[],
  change: Partial<Firewall["iptables"][number]> = {},
) {
  const chains = [
    { name: "FORWARD", policy, rules: rules.map((rule) => `-A FORWARD ${rule}`) },
    {
      name: "MINICNI-FORWARD",
      policy: null,
      rules: ["-s", "-d"].map((side) => `-A MINICNI-FORWARD ${side} 10.244.0.0/16 -j ACCEPT`),
    },
  ];
  return { iptables: [{ family: 4 as const, program: "iptables-nft", isOurs: true, chains, ...change }] };
}

const BLOCK: Firewall["blocks"][number] = {
  table: "inet firewalld",
  chain: "filter_FORWARD",
  drop: { chain: "filter_FWD_public", text: "reject with icmpx admin-prohibited", handle: 42 },
  ways: [{ family: 4, direction: "in" }],
};

const FINE: readonly (readonly [string, Partial<Firewall>])[] = [
  ["nothing at all", {}],
  ["a policy behind the agent's jump", iptables("DROP", ["-j MINICNI-FORWARD"])],
  ["a policy before an installation", { ...iptables("DROP", []), isInUse: false }],
  ["a drop behind the jump", iptables("ACCEPT", ["-j MINICNI-FORWARD", "-j DROP"])],
  ["no kube-proxy, and no br_netfilter", { bridgeNf: [{ family: 4, value: null }] }],
  [
    "bridged IPv6 on a node without IPv6 pods",
    {
      hasProxy: true,
      bridgeNf: [
        { family: 4, value: 1 },
        { family: 6, value: 0 },
      ],
    },
  ],
  ["what others may not send where no Node is known", { hasNodes: false, blocks: [BLOCK] }],
];

describe("A5 passes", () => {
  test.each(FINE)("%s", (_what, change) => {
    expect(of(change).map(({ level }) => level)).toEqual(["pass"]);
  });
});

describe("A5 fails for", () => {
  test("a rule ahead of the jump, in a node's facts alone", () => {
    expect(linesOf(of(iptables("ACCEPT", ["-j DROP", "-j MINICNI-FORWARD"])))).toEqual([
      "FAIL A5 rule 1 of FORWARD (DROP), iptables-nft, drops what pods here send to pods of other nodes (IPv4) and what pods of other nodes send to pods here (IPv4)",
    ]);
  });

  test("a policy without the jump, and adds accepts where nobody is known by name", () => {
    const [found] = of(iptables("DROP", []));
    expect(found?.fix).toEqual([
      "iptables-nft -I FORWARD 1 -s 10.244.0.0/16 -j ACCEPT",
      "iptables-nft -I FORWARD 1 -d 10.244.0.0/16 -j ACCEPT",
    ]);
    expect(found?.cause).toContain("a program without known names");
  });

  test("a table of nftables, with firewalld's own commands", () => {
    const [found] = of({ tables: ["inet firewalld"], blocks: [BLOCK] });
    expect(found?.level).toBe("fail");
    expect(found?.evidence).toEqual(["filter_FWD_public: reject with icmpx admin-prohibited, handle 42"]);
    expect(found?.fix[0]).toBe("firewall-cmd --permanent --zone=trusted --add-source=10.244.0.0/16");
  });

  test("the other iptables, whatever was accepted in the agent's", () => {
    const [found] = of(iptables("DROP", [], { isOurs: false, program: "iptables-legacy" }));
    expect(found?.cause).toContain("the other iptables");
  });
});

test("A5 warns of a bridge that kube-proxy can't see", () => {
  const [found] = of({ hasProxy: true, bridgeNf: [{ family: 4, value: null }] });
  expect(found?.level).toBe("warn");
  expect(found?.fix).toEqual([
    "modprobe br_netfilter",
    "echo br_netfilter > /etc/modules-load.d/br_netfilter.conf",
    "sysctl -w net.bridge.bridge-nf-call-iptables=1",
    "echo net.bridge.bridge-nf-call-iptables=1 > /etc/sysctl.d/90-bridge.conf",
  ]);
});

test("A5 says what it could not look at, beside what it found", () => {
  const unseen = ["the tables of nftables: no nft on the PATH"];
  expect(linesOf(of({ ...iptables("DROP", []), tables: null, unseen }))).toEqual([
    expect.stringMatching(/^FAIL/),
    "SKIP A5 firewalls: not looked at: the tables of nftables: no nft on the PATH",
  ]);
  expect(linesOf(of({ tables: null, unseen }))).toEqual([expect.stringMatching(/^SKIP/)]);
});
