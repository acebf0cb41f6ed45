import { describe, expect, test } from "bun:test";
import { agentCheck } from "../../../src/doctor/checks/b12-agent.ts";
import type { Agent } from "../../../src/doctor/sections/agent.ts";
import { findingsOf, linesOf } from "./facts.ts";

const NOW = Date.parse("2026-11-29T05:00:00.000Z");
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();
const REPORT: NonNullable<Agent["report"]> = {
  version: "0.1.0",
  startedAt: ago(7_300),
  writtenAt: ago(5),
  stoppedAt: null,
  nodes: { source: "in-cluster ServiceAccount", isLive: true, heardAt: ago(40), known: 3, fault: null },
  readiness: ["nodes", "routes", "rules", "published"].map((name) => ({ name, fault: null })),
  loops: [
    { name: "resync", fault: null },
    { name: "nodes", fault: null },
  ],
  lastSyncAt: ago(6),
  resyncPeriodMs: 10_000,
  repairs: [],
};
const HEALTHY: Agent = {
  lookedAt: ago(0),
  life: "running",
  isLocked: true,
  process: { pid: 4711, words: "minicni agent" },
  path: "/run/minicni/agent.json",
  fault: null,
  conflist: "/etc/cni/net.d/10-minicni.conflist",
  node: "n1",
  report: REPORT,
};
const of = (changes: Partial<Agent>) => findingsOf(agentCheck, { agent: { ...HEALTHY, ...changes } });
const told = (changes: Partial<NonNullable<Agent["report"]>>) => of({ report: { ...REPORT, ...changes } });
const repair = (at: number, change: string, cause = "kernel", object = "route") => ({
  at: ago(at),
  object,
  cause,
  count: 1,
  change,
});
const faulty = (name: string, fault: string) =>
  REPORT.readiness.map((one) => (one.name === name ? { name, fault } : one));
const ROUTE = "ip route replace 10.244.2.0/24 via 10.9.0.2 dev eth0 proto 157";

describe("B12, whether the agent lives", () => {
  test.each<[string, Partial<Agent>, string]>([
    [
      "runs",
      {},
      "PASS B12 the agent (minicni 0.1.0) runs since 2 h ago; all in place 6 s ago; 3 Nodes of in-cluster ServiceAccount, last word 40 s ago",
    ],
    [
      "never ran, on a node that is none of ours",
      { life: "absent", report: null, conflist: null, isLocked: false, fault: "no agent has written F" },
      "SKIP B12 the agent: none has run here in this boot (no agent has written F)",
    ],
    [
      "has not come since the boot",
      { life: "absent", report: null, isLocked: false },
      "FAIL B12 no agent has run in this boot, and /etc/cni/net.d/10-minicni.conflist hands pods to minicni",
    ],
    [
      "runs and tells nothing",
      { life: "absent", report: null },
      "WARN B12 an agent runs and tells nothing in /run/minicni/agent.json",
    ],
    [
      "told what can't be read, and whether it runs can't be seen",
      { life: "unknown", report: null, isLocked: null, fault: "EACCES" },
      "SKIP B12 the agent: not looked at: EACCES",
    ],
    [
      "told what can't be read",
      { life: "unknown", report: null, fault: "damaged" },
      "WARN B12 what the agent tells can't be read",
    ],
    [
      "was stopped",
      { life: "stopped", isLocked: false, report: { ...REPORT, stoppedAt: ago(600) } },
      "WARN B12 the agent was stopped 10 min ago, and none runs now",
    ],
    [
      "was killed",
      { life: "dead", isLocked: false, report: { ...REPORT, writtenAt: ago(180) } },
      "WARN B12 the agent has ended without a word, 3 min ago at most, and none runs now",
    ],
    [
      "hangs",
      { life: "silent", report: { ...REPORT, writtenAt: ago(90), lastSyncAt: ago(95) } },
      "WARN B12 the agent has told nothing for 90 s; while it lives it does every 15 s",
    ],
  ])("%s", (_what, changes, line) => {
    expect(linesOf(of(changes))).toEqual([line]);
  });
});

describe("B12, what the agent says of itself", () => {
  test.each<[string, Partial<NonNullable<Agent["report"]>>, string[]]>([
    [
      "a loop is late",
      { loops: [{ name: "monitor", fault: "late by 12 s: last seen 135 s ago, budget 120 s" }] },
      ["WARN B12 the agent's loop monitor is late by 12 s: last seen 135 s ago, budget 120 s"],
    ],
    [
      "its list is not one of now",
      {
        nodes: { ...REPORT.nodes, isLive: false, fault: "401: expired", heardAt: ago(7_200) },
        lastSyncAt: ago(7_200),
        readiness: faulty("nodes", "401: expired"),
      },
      [
        "WARN B12 the agent has no list of Nodes of now from in-cluster ServiceAccount; the last word came 2 h ago",
      ],
    ],
    [
      "a watch is silent for longer than kubelets are",
      { nodes: { ...REPORT.nodes, heardAt: ago(2_400) } },
      ["WARN B12 nothing was heard of the Nodes for 40 min from in-cluster ServiceAccount"],
    ],
    [
      "rules could not be put in place for minutes",
      { lastSyncAt: ago(400), readiness: faulty("rules", "iptables: Permission denied") },
      ["WARN B12 the agent last left everything in place 6 min ago: not rules"],
    ],
    [
      "nothing was ever published",
      { lastSyncAt: null, startedAt: ago(300), readiness: faulty("published", "device: no such device") },
      ["FAIL B12 the agent has run for 5 min and not yet put everything in place: not published"],
    ],
    [
      "somebody undoes a route again and again",
      { repairs: [70, 50, 30, 10].map((at) => repair(at, ROUTE)) },
      [`WARN B12 somebody undoes what the agent puts back: 4 times in 65 s, route: ${ROUTE}`],
    ],
  ])("%s", (_what, changes, lines) => {
    expect(linesOf(told(changes))).toEqual(lines);
  });

  test.each<[string, Partial<NonNullable<Agent["report"]>>]>([
    [
      "a file that nobody changes",
      { nodes: { ...REPORT.nodes, source: "file /nodes.json", heardAt: ago(90_000) } },
    ],
    ["a fault of this moment", { readiness: faulty("routes", "no way") }],
    [
      "an agent that has just started",
      { startedAt: ago(10), lastSyncAt: null, readiness: faulty("published", "not yet") },
    ],
    [
      "a first list that is still to come",
      {
        startedAt: ago(5),
        lastSyncAt: null,
        nodes: { ...REPORT.nodes, isLive: false, heardAt: null, known: 0 },
        readiness: faulty("nodes", "not yet"),
      },
    ],
    ["a long period between passes", { resyncPeriodMs: 300_000, lastSyncAt: ago(600) }],
    ["a few repairs of the same", { repairs: [30, 20, 10].map((at) => repair(at, ROUTE)) }],
    ["many repairs of different things", { repairs: [40, 30, 20, 10].map((at) => repair(at, `${at}`)) }],
    ["repairs of long ago", { repairs: [4_000, 3_000, 2_000, 1_000].map((at) => repair(at, ROUTE)) }],
    ["what Nodes changed", { repairs: [40, 30, 20, 10].map((at) => repair(at, ROUTE, "nodes")) }],
  ])("%s is no finding", (_what, changes) => {
    expect(told(changes).map(({ level }) => level)).toEqual(["pass"]);
  });

  test("every repair is evidence, and the fix is where to look for who undoes it", () => {
    const repairs = [40, 30, 20, 10].map((at) =>
      repair(at, "IPv4 MINICNI-FORWARD: missing jump", "kernel", "rule"),
    );
    const [finding] = told({ repairs });
    expect(finding?.evidence).toHaveLength(4);
    expect(finding?.fix).toEqual([
      "minicni doctor --only A5,A6,A7",
      "nft monitor rules  # of iptables-nft; names what comes and goes",
    ]);
  });
});
