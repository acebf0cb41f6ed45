import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createTwinRouteDiff } from "../../../src/entry/bench/routes/twin.ts";
import { formatPrefix } from "../../../src/net/prefix.ts";
import { formatPlan } from "../../../src/plan/format.ts";
import { planRoutes, type RoutePlan } from "../../../src/plan/route-diff.ts";
import type { TableRoute } from "../../../src/plan/route-table.ts";
import { HOST, type Plan, ROUTE_PROTOCOL } from "../../../src/plan/step.ts";
import { desiredRoutes, observedRoutes, route, tableOf } from "../../twin/routes.ts";

const NAMES = new Map([
  [2, "eth0"],
  [3, "eth1"],
  [9, "minicni.vxlan"],
]);
const nameOf = (ifindex: number) => NAMES.get(ifindex) ?? null;

function plan(
  desired: readonly TableRoute[],
  observed: readonly TableRoute[],
  { allowDeletions = true, netns = HOST } = {},
): RoutePlan {
  const [wanted, there] = [tableOf(...desired), tableOf(...observed)];
  const changes = createTwinRouteDiff().diff(wanted, there);
  return planRoutes(changes, wanted, there, nameOf, allowDeletions, netns);
}

const lines = (steps: Plan) => formatPlan(steps).trimEnd().split("\n");
const FOUR = route("10.1.1.0/24", "192.168.0.1");
const SIX = route("fd00:1::/64", "fd01::1");
const TUNNEL = route("10.1.2.0/24", "10.1.2.0", { ifindex: 9, isOnlink: true });

describe("planRoutes", () => {
  test("plans nothing between equal tables", () => {
    expect(plan([FOUR, SIX, TUNNEL], [TUNNEL, SIX, FOUR])).toEqual({
      plan: [],
      conflicts: [],
      withheld: 0,
      unlinked: 0,
    });
  });

  test("adds and replaces before it deletes, each with its reason", () => {
    const { plan: steps } = plan(
      [FOUR, SIX, TUNNEL],
      [route("10.9.0.0/24", "192.168.0.9"), { ...FOUR, ifindex: 3 }],
    );
    expect(lines(steps)).toEqual([
      "# routes to the pods of peers",
      "ip route replace 10.1.1.0/24 via 192.168.0.1 dev eth0 proto 157",
      "ip route replace fd00:1::/64 via fd01::1 dev eth0 proto 157",
      "ip route replace 10.1.2.0/24 via 10.1.2.0 dev minicni.vxlan onlink proto 157",
      "# routes of peers that are gone",
      "ip route del 10.9.0.0/24 via 192.168.0.9 dev eth0 proto 157",
    ]);
  });

  test("names a metric that is not the family's own", () => {
    const metrics = [
      { ...FOUR, metric: 50 },
      { ...SIX, metric: 50 },
    ];
    expect(lines(plan(metrics, []).plan).slice(1)).toEqual([
      "ip route replace 10.1.1.0/24 via 192.168.0.1 dev eth0 proto 157 metric 50",
      "ip route replace fd00:1::/64 via fd01::1 dev eth0 proto 157 metric 50",
    ]);
    expect(plan([{ ...SIX, metric: 1024 }], []).plan).toEqual(plan([SIX], []).plan);
  });

  test("deletes by all that tells one route from another", () => {
    const observed = [
      { ...FOUR, metric: 100, isOnlink: true },
      { ...SIX, metric: null },
      route("10.8.0.0/24", null, { ifindex: 0, type: 6 }),
      route("fd00:8::/64", null, { ifindex: 0, type: 7 }),
    ];
    expect(lines(plan([FOUR], [FOUR, ...observed]).plan)).toEqual([
      "# second routes of ours to the pods of peers",
      "ip route del 10.1.1.0/24 via 192.168.0.1 dev eth0 proto 157 metric 100",
      "# routes of peers that are gone",
      "ip route del fd00:1::/64 via fd01::1 dev eth0 proto 157 metric 1024",
      "ip route del blackhole 10.8.0.0/24 proto 157",
      "ip route del unreachable fd00:8::/64 proto 157 metric 1024",
    ]);
  });

  test("withholds and counts deletions where they are not allowed", () => {
    const { plan: steps, withheld } = plan([SIX], [FOUR, TUNNEL], { allowDeletions: false });
    expect(steps.map(({ op }) => op)).toEqual(["route.replace"]);
    expect(withheld).toBe(2);
  });

  test("works in the namespace it is told", () => {
    expect(plan([FOUR], [SIX], { netns: "/run/netns/n" }).plan.map(({ netns }) => netns)).toEqual([
      "/run/netns/n",
      "/run/netns/n",
    ]);
  });

  test("leaves out what leads by a link that is gone, and counts what is missing then", () => {
    const outcome = plan([{ ...FOUR, ifindex: 77 }, SIX], [{ ...TUNNEL, ifindex: 77 }]);
    expect(lines(outcome.plan)).toEqual([
      "# routes to the pods of peers",
      "ip route replace fd00:1::/64 via fd01::1 dev eth0 proto 157",
    ]);
    expect(outcome.unlinked).toBe(1);
  });

  test("reports a foreign route in the way and leaves it", () => {
    const { plan: steps, conflicts } = plan([FOUR, SIX], [{ ...FOUR, protocol: 80 }]);
    expect(lines(steps).slice(1)).toEqual(["ip route replace fd00:1::/64 via fd01::1 dev eth0 proto 157"]);
    expect(conflicts).toEqual([
      {
        dst: FOUR.dst,
        protocol: 80,
        message: expect.stringContaining("a route of protocol 80 by eth0 is in the way (Calico's)"),
      },
    ]);
  });
});

/** What tells the kernel's routes apart. */
const textOf = ({ dst, via, ifindex, metric, isOnlink, type, protocol }: TableRoute) =>
  [formatPrefix(dst), via?.value, ifindex, metric, isOnlink, type, protocol].join(" ");
const packed = (routes: readonly TableRoute[]) => {
  const table = tableOf(...routes);
  return routes.map((_, index) => table.at(index));
};

/** A routing table that does what the changes say, as the kernel would; a change it could not do is an error. */
function applied(desired: readonly TableRoute[], observed: readonly TableRoute[]): TableRoute[] {
  const [wanted, there] = [tableOf(...desired), tableOf(...observed)];
  const { upserts, deletions } = createTwinRouteDiff().diff(wanted, there);
  const after: (TableRoute | null)[] = packed(observed);
  for (let at = 0; at < deletions.length; at += 2) {
    const index = deletions[at] ?? -1;
    if (after[index]?.protocol !== ROUTE_PROTOCOL) throw new Error(`route ${index} is not ours`);
    after[index] = null;
  }
  for (let at = 0; at < upserts.length; at += 2) {
    const [index = -1, replaced = -1] = [upserts[at], upserts[at + 1]];
    if (replaced < 0) after.push(wanted.at(index));
    else if (after[replaced]?.protocol !== ROUTE_PROTOCOL) throw new Error(`route ${replaced} is not ours`);
    else after[replaced] = wanted.at(index);
  }
  return after.flatMap((one) => (one === null ? [] : [one]));
}

describe("property", () => {
  const tables = desiredRoutes.chain((desired) => fc.tuple(fc.constant(desired), observedRoutes(desired)));

  test("afterwards foreign routes are as they were, and ours are the desired ones where nobody is in the way", () => {
    fc.assert(
      fc.property(tables, ([desired, observed]) => {
        const after = applied(desired, observed);
        const isForeign = ({ protocol }: TableRoute) => protocol !== ROUTE_PROTOCOL;
        expect(after.filter(isForeign)).toEqual(packed(observed).filter(isForeign));
        const taken = new Set(observed.filter(isForeign).map(({ dst }) => formatPrefix(dst)));
        const free = (one: TableRoute) => !taken.has(formatPrefix(one.dst));
        const ours = after.filter((one) => !isForeign(one));
        expect(ours.filter(free).map(textOf).sort()).toEqual(packed(desired).filter(free).map(textOf).sort());
        // Beside a foreign route nothing of ours stays but what is desired.
        const wanted = new Set(packed(desired).map(textOf));
        expect(ours.filter((one) => !wanted.has(textOf(one)))).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  test("a second look finds nothing to do", () => {
    fc.assert(
      fc.property(tables, ([desired, observed]) => {
        const again = plan(desired, applied(desired, observed));
        expect(again.plan).toEqual([]);
        expect(again.conflicts.map(({ dst }) => formatPrefix(dst))).toEqual(
          plan(desired, observed).conflicts.map(({ dst }) => formatPrefix(dst)),
        );
      }),
      { numRuns: 400 },
    );
  });
});
