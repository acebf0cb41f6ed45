import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { BINARY, run } from "./sandbox.ts";

interface Report {
  readonly passes: readonly {
    readonly nodes: number;
    readonly backend: string;
    readonly passes: readonly { readonly name: string; readonly steps: number; readonly failures: number }[];
  }[];
  readonly agents: readonly { readonly restMiB: number; readonly readyMs: number }[];
}

const namespaces = () =>
  existsSync("/run/netns") ? readdirSync("/run/netns").filter((name) => name.startsWith("mbench-")) : [];

test("bench routes runs whole passes in a namespace of its own, without a failed step, and leaves none", () => {
  const child = run([BINARY, "bench", "routes", "--quick", "--nodes", "20", "--json"]);
  expect([child.exitCode, namespaces()]).toEqual([0, []]);
  const report: Report = JSON.parse(child.stdout);
  expect(report.passes.map(({ nodes, backend }) => `${nodes} ${backend}`)).toEqual([
    "20 host-gw",
    "20 vxlan",
  ]);
  expect(report.agents.every(({ restMiB, readyMs }) => restMiB > 0 && readyMs > 0)).toBe(true);
  expect(report.agents).toHaveLength(2);
  for (const { passes } of report.passes) {
    expect(passes.map(({ failures }) => failures)).toEqual(passes.map(() => 0));
    const steps = new Map(passes.map((pass) => [pass.name, pass.steps]));
    expect(steps.get("first programming")).toBeGreaterThanOrEqual(2 * 19);
    expect(steps.get("nothing changed")).toBe(0);
    expect(steps.get("all others gone")).toBeGreaterThanOrEqual(2 * 19);
  }
}, 120_000);
