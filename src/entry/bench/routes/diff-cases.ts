import type { Family } from "../../../net/address.ts";
import type { RouteChanges, RouteDiffEngine } from "../../../plan/route-changes.ts";
import { RouteTable } from "../../../plan/route-table.ts";
import { describeCluster, dumpOf, moveNode, packRoutes } from "./cluster.ts";

/** Names of the cases, in their order. */
export const DIFF_CASES = [
  "nothing changed",
  "one node changed",
  "1 % changed",
  "all changed",
  "first programming",
] as const;

/** One thing that is measured: what an engine is asked, again and again. */
export interface DiffCase {
  readonly name: (typeof DIFF_CASES)[number];
  /** Desired routes. */
  readonly routes: number;
  /** What the kernel has, in the order of its dump. */
  readonly observed: RouteTable;
  /**
   * Makes the next call; each gives an engine the work that the case's name says. `observed`: a table that is equal to
   * the case's own, as a dump that was parsed just now is.
   */
  readonly run: (engine: RouteDiffEngine, observed?: RouteTable) => RouteChanges;
  /** Changes that each call must find; a benchmark of a wrong answer says nothing. */
  readonly changes: number;
}

/**
 * The cases of a cluster size. In all but the first the desired table is another one on every call, as after a change
 * of the Nodes: taking it over is part of the work.
 */
export function describeDiffCases(count: number, families: readonly Family[]): DiffCase[] {
  const nodes = describeCluster(count, families);
  const desired = packRoutes(nodes, 2);
  const observed = dumpOf(desired);
  const changing = (name: DiffCase["name"], isMoved: (index: number) => boolean): DiffCase => {
    const tables = [0, 1].map((places) =>
      packRoutes(
        nodes.map((node, index) => (isMoved(index) ? moveNode(node, places) : node)),
        2,
      ),
    );
    const changes = nodes.filter((_, index) => isMoved(index)).length * families.length;
    return { name, routes: desired.count, changes, observed, run: alternate(tables, observed) };
  };
  const empty = dumpOf(new RouteTable());
  return [
    {
      name: "nothing changed",
      routes: desired.count,
      changes: 0,
      observed,
      run: (engine, there = observed) => engine.diff(desired, there),
    },
    changing("one node changed", (index) => index === 1),
    changing("1 % changed", (index) => index % 100 === 1),
    // The first is the node itself, whose own pods need no route.
    changing("all changed", (index) => index > 0),
    {
      name: "first programming",
      routes: desired.count,
      changes: desired.count,
      observed: empty,
      run: alternate([desired, packRoutes(nodes, 2)], empty),
    },
  ];
}

function alternate(tables: readonly RouteTable[], observed: RouteTable): DiffCase["run"] {
  let turn = 0;
  return (engine, there = observed) => engine.diff(tables[turn++ % tables.length] ?? observed, there);
}
