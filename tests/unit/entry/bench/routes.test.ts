import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  describeCluster,
  dumpOf,
  MAX_NODES,
  moveNode,
  packRoutes,
} from "../../../../src/entry/bench/routes/cluster.ts";
import { describeDiffCases } from "../../../../src/entry/bench/routes/diff-cases.ts";
import { encodeDump, parseDump } from "../../../../src/entry/bench/routes/dump.ts";
import { type BenchSubject, measurePasses } from "../../../../src/entry/bench/routes/pass.ts";
import { createTwinRouteDiff } from "../../../../src/entry/bench/routes/twin.ts";
import { formatNodeList, parseNodeList } from "../../../../src/kube/nodelist.ts";
import { FAMILIES, formatAddress } from "../../../../src/net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../../../../src/net/node.ts";
import { formatPrefix } from "../../../../src/net/prefix.ts";

describe("describeCluster", () => {
  test("makes Nodes that a NodeList can hold and that contradict each other nowhere", () => {
    const nodes = describeCluster(3000, FAMILIES);
    expect(parseNodeList(formatNodeList(nodes))).toEqual({ nodes, faults: [] });
  });

  test("has its largest cluster inside of the ranges it is meant for", () => {
    const last = describeCluster(MAX_NODES, FAMILIES).at(-1);
    expect(last?.podCidrs.map(formatPrefix)).toEqual(["10.255.255.0/24", "fd00:10:0:ffff::/64"]);
    expect(last?.addresses.map(formatAddress)).toEqual(["172.17.0.0", "fd00:172::1:0"]);
  });

  test("has no pod in the node network, wherever a node moves to", () => {
    const [node] = describeCluster(1, FAMILIES);
    const last = describeCluster(MAX_NODES, [4]).at(-1);
    expect(node?.podCidrs.map(formatPrefix)).toEqual(["10.0.0.0/24", "fd00:10::/64"]);
    // The kernel's own routes begin at 172.24.0.0.
    expect(last === undefined ? [] : moveNode(last, 1_000).addresses.map(formatAddress)).toEqual([
      "172.18.3.232",
    ]);
  });

  test("moves a node to an address that nobody has", () => {
    const nodes = describeCluster(MAX_NODES, [4]);
    const taken = new Set(nodes.flatMap(({ addresses }) => addresses.map(formatAddress)));
    const moved = nodes.slice(-1).map((node) => moveNode(node, 1).addresses.map(formatAddress));
    expect(moved).toEqual([["172.18.0.1"]]);
    expect(taken.has("172.18.0.1")).toBe(false);
  });

  test("dumps what was packed, families apart, with the kernel's own routes", () => {
    const packed = packRoutes(describeCluster(3, FAMILIES), 2);
    const dump = dumpOf(packed);
    const shown = Array.from({ length: dump.count }, (_, index) => dump.at(index));
    expect(shown.map(({ protocol, dst }) => `${protocol}/${dst.address.family}`)).toEqual([
      "2/4",
      "2/4",
      "157/4",
      "157/4",
      "2/6",
      "2/6",
      "157/6",
      "157/6",
    ]);
    expect(createTwinRouteDiff().diff(packed, dump).upserts).toHaveLength(0);
  });
});

describe("describeDiffCases", () => {
  test("takes another table that is equal to the kernel's, as one that was parsed just now", () => {
    for (const { name, changes, observed, run } of describeDiffCases(200, FAMILIES)) {
      const engine = createTwinRouteDiff();
      for (let call = 0; call < 2; call++) {
        const found = run(engine, parseDump(encodeDump(observed)));
        expect([name, found.upserts.length / 2, found.deletions.length]).toEqual([name, changes, 0]);
      }
    }
  });

  test("asks for what each case says, again and again", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 400 }),
        fc.subarray([...FAMILIES], { minLength: 1 }),
        (count, families) => {
          for (const { name, changes, routes, run } of describeDiffCases(count, families)) {
            const engine = createTwinRouteDiff();
            expect(routes).toBe((count - 1) * families.length);
            for (let call = 0; call < 3; call++) {
              expect([name, run(engine).upserts.length / 2]).toEqual([name, changes]);
            }
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  test("changes none, one, every hundredth, all and all", () => {
    expect(describeDiffCases(1000, [4]).map(({ changes }) => changes)).toEqual([0, 1, 10, 999, 999]);
  });
});

describe("measurePasses", () => {
  test("plays an agent's life in order and repeats what can be repeated", async () => {
    const seen: string[] = [];
    let now = 0;
    const subject: BenchSubject = {
      pass: async ({ nodes }: NodeSnapshot, self: ClusterNode) => {
        seen.push(
          `${self.name} of ${nodes.length}, ${nodes[1]?.addresses.map(formatAddress).join()} at ${now}`,
        );
        return { observeMs: 1, diffMs: 2, executeMs: 3, steps: seen.length, failures: [] };
      },
      skip: (milliseconds) => {
        now += milliseconds;
      },
    };
    const report = await measurePasses(formatNodeList(describeCluster(3, [4])), "vxlan", subject);
    expect(report.series.map(({ name }) => name)).toEqual([
      "first programming",
      "nothing changed",
      "nothing changed, list read anew",
      "one node changed",
      "all others gone",
    ]);
    expect(seen.slice(0, 8)).toEqual(Array.from({ length: 8 }, () => "node0 of 3, 172.16.0.2 at 0"));
    // Each change is followed by the look that it causes.
    expect(new Set(seen.slice(15, 28)).size).toBe(7);
    expect(seen.slice(28)).toEqual(["node0 of 1, undefined at 0", "node0 of 1, undefined at 120000"]);
    expect(report.series.map(({ passes }) => passes.length)).toEqual([1, 7, 7, 7, 1]);
    expect(report.series.at(-1)?.passes.map(({ steps }) => steps)).toEqual([30]);
  });
});
