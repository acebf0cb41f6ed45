import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { runBench } from "../../../../src/entry/bench/index.ts";
import {
  describeCluster,
  dumpOf,
  MAX_NODES,
  moveNode,
  packRoutes,
} from "../../../../src/entry/bench/routes/cluster.ts";
import { formatCurve } from "../../../../src/entry/bench/routes/curve.ts";
import { describeDiffCases } from "../../../../src/entry/bench/routes/diff-cases.ts";
import { type BenchSubject, measurePasses } from "../../../../src/entry/bench/routes/pass.ts";
import { formatBenchReport } from "../../../../src/entry/bench/routes/report.ts";
import { createTwinRouteDiff } from "../../../../src/entry/bench/routes/twin.ts";
import { formatNodeList, parseNodeList } from "../../../../src/kube/nodelist.ts";
import { FAMILIES, formatAddress } from "../../../../src/net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../../../../src/net/node.ts";
import { formatPrefix } from "../../../../src/net/prefix.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

/** What a command printed and told, with its exit code. */
async function bench(...args: string[]): Promise<{ exitCode: number; printed: string; told: string }> {
  const printed: string[] = [];
  const told: string[] = [];
  const host = { ...createFakeMachine("/nonexistent"), log: (line: string) => void told.push(line) };
  const exitCode = await runBench(args, host, ["/bin/false"], (text) => void printed.push(text));
  return { exitCode, printed: printed.join(""), told: told.join("\n") };
}

describe("describeCluster", () => {
  test("makes Nodes that a NodeList can hold and that contradict each other nowhere", () => {
    const nodes = describeCluster(3000, FAMILIES);
    expect(parseNodeList(formatNodeList(nodes))).toEqual({ nodes, faults: [] });
  });

  test("has its largest cluster inside of the ranges it is meant for", () => {
    const last = describeCluster(MAX_NODES, FAMILIES).at(-1);
    expect(last?.podCidrs.map(formatPrefix)).toEqual(["100.127.255.0/24", "fd00:244:0:3fff::/64"]);
    expect(last?.addresses.map(formatAddress)).toEqual(["10.128.64.0", "fd00:128::4000"]);
  });

  test("moves a node to an address that nobody has", () => {
    const nodes = describeCluster(MAX_NODES, [4]);
    const taken = new Set(nodes.flatMap(({ addresses }) => addresses.map(formatAddress)));
    const moved = nodes.slice(-1).map((node) => moveNode(node, 1).addresses.map(formatAddress));
    expect(moved).toEqual([["10.128.128.1"]]);
    expect(taken.has("10.128.128.1")).toBe(false);
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

describe("minicni bench routes", () => {
  test("measures three engines in each case and gives one JSON document", async () => {
    const { exitCode, printed } = await bench(
      "routes",
      "--no-kernel",
      "--quick",
      "--nodes",
      "2,9",
      "--families",
      "6",
      "--json",
    );
    expect(exitCode).toBe(0);
    const report = JSON.parse(printed);
    expect(
      report.diff.map(({ nodes, routes }: { nodes: number; routes: number }) => [nodes, routes]),
    ).toEqual([...Array.from({ length: 5 }, () => [2, 1]), ...Array.from({ length: 5 }, () => [9, 8])]);
    for (const row of report.diff) {
      for (const engine of ["wasm", "twin", "map"]) expect(row[engine].medianUs).toBeGreaterThan(0);
    }
  }, 60_000);

  test.each([
    ["no cluster size", ["routes", "--nodes", "0"]],
    ["one node, which has no peer", ["routes", "--nodes", "1"]],
    ["more nodes than there are pod CIDRs", ["routes", "--nodes", String(MAX_NODES + 1)]],
    ["words", ["routes", "--nodes", "many"]],
    ["an unknown family", ["routes", "--families", "5"]],
    ["an unknown benchmark", ["walks"]],
  ])("refuses %s", async (_what, args) => {
    const { exitCode, printed, told } = await bench(...args);
    expect([exitCode, printed]).toEqual([2, ""]);
    expect(told).toContain("error:");
  });

  test("does not show the part that it runs in a namespace", async () => {
    const { exitCode, printed } = await bench("--help");
    expect(exitCode).toBe(0);
    expect(printed).toContain("routes");
    expect(printed).not.toContain("pass ");
  });
});

describe("formatCurve", () => {
  const timing = (medianUs: number) => ({ medianUs, p99Us: medianUs, marginPercent: 1, samples: 9 });
  const row = (routes: number, name = "a") => ({
    nodes: routes,
    routes,
    name,
    wasm: timing(routes / 100),
    twin: timing(routes / 50),
    map: timing(routes),
  });

  test("draws linear growth as straight lines that rise as the dashed one", () => {
    const svg = formatCurve([row(100), row(1000), row(10_000), row(10, "b")], "a");
    const slopes = [...svg.matchAll(/points="([^"]+)"/g)].map(([, points = ""]) => {
      const [[x0 = 0, y0 = 0] = [], [x1 = 0, y1 = 0] = []] = [
        points.split(" ").at(0),
        points.split(" ").at(-1),
      ].map((point) => point?.split(",").map(Number));
      return Math.round((100 * (y1 - y0)) / (x1 - x0));
    });
    expect(slopes).toHaveLength(4);
    expect(new Set(slopes).size).toBe(1);
    expect(svg).toContain(">10,000</text>");
    expect(svg).not.toContain("NaN");
  });

  test("draws one size without a division by zero, and nothing of nothing", () => {
    expect(formatCurve([row(100)], "a")).not.toContain("NaN");
    expect(formatCurve([row(100)], "c")).toBe("");
  });
});

describe("measurePasses", () => {
  test("plays an agent's life in order and takes the median of what is repeated", async () => {
    const seen: string[] = [];
    let now = 0;
    const subject: BenchSubject = {
      pass: async ({ nodes }: NodeSnapshot, self: ClusterNode) => {
        seen.push(
          `${self.name} of ${nodes.length}, ${nodes[1]?.addresses.map(formatAddress).join()} at ${now}`,
        );
        return { observeMs: 1, diffMs: 2, executeMs: 3, steps: seen.length, failures: 0 };
      },
      skip: (milliseconds) => {
        now += milliseconds;
      },
    };
    const report = await measurePasses(formatNodeList(describeCluster(3, [4])), "vxlan", subject);
    expect(report.passes.map(({ name }) => name)).toEqual([
      "first programming",
      "nothing changed",
      "nothing changed, list read anew",
      "one node changed",
      "all others gone",
    ]);
    expect(seen.slice(0, 8)).toEqual(Array.from({ length: 8 }, () => "node0 of 3, 10.128.0.2 at 0"));
    // Each change is followed by the look that it causes.
    expect(new Set(seen.slice(15, 28)).size).toBe(7);
    expect(seen.slice(28)).toEqual(["node0 of 1, undefined at 0", "node0 of 1, undefined at 120000"]);
    expect(report.passes.at(-1)?.steps).toBe(30);
  });
});

describe("formatBenchReport", () => {
  const timing = (medianUs: number) => ({ medianUs, p99Us: medianUs * 2, marginPercent: 1.234, samples: 9 });

  test("shows a table with ratios and the cost of one route", () => {
    const rows = [
      { nodes: 5000, routes: 10_000, name: "x", wasm: timing(100), twin: timing(250), map: timing(12_345) },
    ];
    expect(
      formatBenchReport({ diff: rows, passes: [], agents: [], notes: ["a note"] })
        .split("\n")
        .slice(2),
    ).toEqual([
      "| nodes | routes | case | WASM | p99 |   ±% | ns/route | twin | twin/WASM |    Map | Map/WASM |",
      "|------:|-------:|------|-----:|----:|-----:|---------:|-----:|----------:|-------:|---------:|",
      "| 5,000 | 10,000 | x    |  100 | 200 | 1.23 |     10.0 |  250 |     2.50× | 12,345 |     123× |",
      "",
      "a note",
      "",
    ]);
  });

  test("shows passes with what a step costs, and none where there was no step", () => {
    const pass = {
      name: "y",
      totalMs: 12.34,
      observeMs: 1,
      diffMs: 0.5,
      executeMs: 9,
      steps: 1000,
      failures: 2,
    };
    const text = formatBenchReport({
      diff: [],
      passes: [
        {
          nodes: 10,
          backend: "vxlan",
          parseMs: 3,
          passes: [pass, { ...pass, name: "z", steps: 0 }],
        },
      ],
      agents: [{ nodes: 10, backend: "auto", readyMs: 321, restMiB: 80, peakMiB: 99.5, idleMsPerS: 4.2 }],
      notes: [],
    });
    expect(text).toContain("| vxlan   | NodeList parsed |  3.00 |");
    expect(text).toContain("|    10 | auto    |      321 |     80.0 |     99.5 |      4.20 |");
    expect(text).toMatch(/\| y +\| +12\.3 \| +1\.00 \| 0\.50 \| +9\.00 \| 1,000 \| +2 \| +12\.3 \|/);
    expect(text).toMatch(/\| z .* 0 \| +2 \| +\|/);
  });
});
