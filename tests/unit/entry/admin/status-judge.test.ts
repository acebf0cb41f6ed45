import { describe, expect, test } from "bun:test";
import { judgeNode } from "../../../../src/entry/admin/status/judge.ts";
import { judgeLife } from "../../../../src/entry/admin/status/life.ts";
import type { AgentLife, SeenNode } from "../../../../src/entry/admin/status/seen.ts";
import { ago, faulty, NOW_MS, report, seen } from "./status-sample.ts";

const wrongOf = (node: SeenNode) => judgeNode(node).map(({ about, message }) => `${about}: ${message}`);

describe("what is wrong", () => {
  test("of a healthy node is nothing", () => {
    expect(wrongOf(seen())).toEqual([]);
  });

  test("is said once, though the agent says it at several places", () => {
    const peers = report().peers.map((peer) => ({ ...peer, fault: "a route is in the way; remove it" }));
    const conflicts = peers.map(({ fault }) => fault);
    const routes = [{ family: 4 as const, desired: 2, programmed: 0 }];
    const rules = { variant: "nft" as const, faults: ["no chain", "no jump"], warnings: [] };
    const readiness = [{ name: "rules", fault: "no chain; no jump", warning: null }];
    expect(wrongOf(seen({ report: report({ peers, conflicts, routes, rules, readiness }) }))).toEqual([
      "peer n2: a route is in the way; remove it",
      "peer n3: a route is in the way; remove it",
      "rules: no chain",
      "rules: no jump",
    ]);
  });

  test("in the kernel is seen by itself, whatever the agent says", () => {
    const missing = [{ peer: "n2", dst: "10.244.2.0/24" }];
    expect(wrongOf(seen({ missing, links: [{ name: "minicni.vxlan", isUp: false, mtu: 1450 }] }))).toEqual([
      "routes: not there now: 10.244.2.0/24 of n2 (the agent looked 4 s ago)",
      "tunnel: minicni.vxlan is down",
    ]);
    expect(wrongOf(seen({ links: [] }))).toEqual(["tunnel: minicni.vxlan is not there"]);
  });

  test.each<[AgentLife, boolean | null, string]>([
    ["silent", true, "has told nothing for 3 s: it hangs or was killed"],
    ["stopped", false, "was stopped 60 s ago: nobody repairs"],
    ["dead", false, "has ended without a word (killed?), 3 s ago at most"],
    ["absent", false, "none has run in this boot"],
    ["absent", true, "runs, and tells nothing"],
    ["unknown", null, "whether one runs can't be seen"],
    ["unknown", false, "none runs, and what the last one told can't be read"],
    ["unknown", true, "runs; what it tells can't be read"],
  ])("of an agent that is %s (lock held: %p)", (life, isLocked, message) => {
    const told = life === "absent" || life === "unknown" ? null : report({ stoppedAt: ago(59.9) });
    const [wrong = ""] = wrongOf(seen({ agent: { life, fault: null, isLocked }, report: told }));
    expect(wrong).toStartWith(`agent: ${message.replace("60 s", "1 min")}`);
  });

  test("is what an ended agent said no more", () => {
    const ended = { ...faulty(), agent: { life: "dead", fault: null, isLocked: false } as const };
    expect(judgeNode(ended).map(({ about }) => about)).toEqual(["agent", "routes", "addresses"]);
  });
});

test.each<[Parameters<typeof judgeLife>[0], Partial<Parameters<typeof judgeLife>[1]>, AgentLife]>([
  [report(), {}, "running"],
  [report(), { isLocked: null }, "running"],
  [report(), { isLocked: false }, "dead"],
  [report({ writtenAt: ago(46) }), {}, "silent"],
  [report({ writtenAt: ago(-3600) }), {}, "running"],
  [report({ stoppedAt: ago(5) }), { isLocked: false }, "stopped"],
  [report({ bootId: "boot-0" }), {}, "absent"],
  [report({ bootId: "boot-0" }), { bootId: null }, "running"],
  [null, { isReadable: true }, "absent"],
  [null, { isReadable: false }, "unknown"],
])("an agent's life: case %#", (told, more, life) => {
  expect(
    judgeLife(told, { isLocked: true, bootId: "boot-1", nowMs: NOW_MS, isReadable: true, ...more }),
  ).toBe(life);
});
