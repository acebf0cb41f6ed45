import { describe, expect, test } from "bun:test";
import type { DryPass, DryStep } from "../../../../src/entry/admin/dry-pass.ts";
import { formatNodePlan } from "../../../../src/entry/admin/plan/text.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";

const EMPTY: DryPass = {
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
const step = (part: DryStep["part"], command: string, why: string): DryStep => ({
  op: "route.replace",
  part,
  command,
  why,
});
const text = (changes: Partial<DryPass>, width: number | null = null) =>
  formatNodePlan({ ...EMPTY, ...changes }, { width, paint: createPaint(false) });

describe("the plan of a node", () => {
  test("without a step is one line", () => {
    expect(text({})).toBe("# n1: nothing to change\n");
  });

  test("has the commands by part, each reason once above those that it is for", () => {
    const steps = [
      step("network", "ip route replace 10.244.2.0/24 via 10.9.0.2", "routes to the pods of peers"),
      step("network", "ip route replace 10.244.3.0/24 via 10.9.0.3", "routes to the pods of peers"),
      step("network", "sysctl -w net/ipv4/ip_forward=1", "packets of pods are forwarded"),
      step("rules", "iptables-restore --noflush <<'EOF'\n*nat\nCOMMIT\nEOF", "the rules of this node"),
      step("bridge", "ip link set dev minicni0 up", "the bridge up"),
      step("files", "cat >/x/node.json <<'EOF'\n{}\nEOF", "what the plugin has to know of this node"),
    ];
    expect(text({ steps }).split("\n")).toEqual([
      "# n1: 6 steps, not run",
      "",
      "# links, addresses, routes",
      "# routes to the pods of peers",
      "ip route replace 10.244.2.0/24 via 10.9.0.2",
      "ip route replace 10.244.3.0/24 via 10.9.0.3",
      "# packets of pods are forwarded",
      "sysctl -w net/ipv4/ip_forward=1",
      "",
      "# rules",
      "# the rules of this node",
      "iptables-restore --noflush <<'EOF'",
      "*nat",
      "COMMIT",
      "EOF",
      "",
      "# bridge and ports of pods",
      "# the bridge up",
      "ip link set dev minicni0 up",
      "",
      "# files",
      "# what the plugin has to know of this node",
      "cat >/x/node.json <<'EOF'",
      "{}",
      "EOF",
      "",
    ]);
  });

  test("tells below what no command puts right, as comments that break on a narrow screen", () => {
    const notes: Partial<DryPass> = {
      conflicts: ["10.244.2.0/24: a route of protocol 80 by eth0 is in the way (Calico's)"],
      withheld: 2,
      isLive: false,
      peers: [{ node: "n3", message: "has no InternalIP" }],
      faults: ["InternalIP 10.9.0.1 of this Node is on no link"],
      rules: {
        ...EMPTY.rules,
        faults: ["no iptables"],
        warnings: ["KUBE-* in both"],
        blocks: ["ip x drops"],
      },
    };
    expect(text(notes).split("\n")).toEqual([
      "# n1: 0 steps, not run; the rules are not known",
      "",
      "# in the way of a route: 10.244.2.0/24: a route of protocol 80 by eth0 is in the way (Calico's)",
      "# 2 routes of ours that no Node accounts for would stay: the list of Nodes is not one of now",
      "# not reached: n3: has no InternalIP",
      "# InternalIP 10.9.0.1 of this Node is on no link",
      "# rules: no iptables",
      "# rules of others: KUBE-* in both",
      "# rules of others: ip x drops",
      "",
    ]);
    const narrow = text(notes, 40).trimEnd().split("\n");
    expect(narrow.filter((line) => line.length > 40)).toEqual([]);
    expect(narrow.every((line) => line === "" || line.startsWith("# "))).toBe(true);
  });

  test("keeps commands whole on a narrow screen: they are there to be pasted", () => {
    const command = "ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157";
    expect(text({ steps: [step("network", command, "routes")] }, 20)).toContain(`\n${command}\n`);
  });
});
