import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatPrefix } from "../../../src/net/prefix.ts";
import { diffRoutes } from "../../../src/plan/diff.ts";
import { formatPlan } from "../../../src/plan/format.ts";
import { type Plan, ROUTE_PROTOCOL, type RouteSpec } from "../../../src/plan/step.ts";
import { address, describeRoute, prefix } from "../../twin/words.ts";

const NETNS = "/run/netns/n";
const route = (dst: string, via: string, dev = "eth0", protocol = ROUTE_PROTOCOL): RouteSpec => ({
  dst: prefix(dst),
  via: address(via),
  dev,
  protocol,
});
const ONE = route("10.1.1.0/24", "192.168.0.1");
const TWO = route("10.1.2.0/24", "192.168.0.2");
const SIX = route("fd00:2::/64", "fd01::2");

describe("diffRoutes", () => {
  test("changes nothing between equal sets, in any order", () => {
    expect(diffRoutes(NETNS, [ONE, TWO, SIX], [SIX, ONE, TWO])).toEqual({ plan: [], conflicts: [] });
    expect(diffRoutes(NETNS, [], [])).toEqual({ plan: [], conflicts: [] });
  });

  test("adds before it deletes", () => {
    expect(formatPlan(diffRoutes(NETNS, [TWO, SIX], [ONE]).plan)).toBe(
      [
        "# routes to the pods of peers",
        "nsenter --net=/run/netns/n ip route replace 10.1.2.0/24 via 192.168.0.2 dev eth0 proto 157",
        "nsenter --net=/run/netns/n ip route replace fd00:2::/64 via fd01::2 dev eth0 proto 157",
        "# routes of peers that are gone",
        "nsenter --net=/run/netns/n ip route del 10.1.1.0/24 via 192.168.0.1 dev eth0 proto 157",
        "",
      ].join("\n"),
    );
  });

  const { via: _via, ...onLink } = ONE;
  test.each([
    ["gateway", route("10.1.1.0/24", "192.168.0.9")],
    ["device", route("10.1.1.0/24", "192.168.0.1", "eth1")],
    ["form, without a gateway", onLink],
  ])("replaces a route of ours with another %s", (_what, old) => {
    const { plan, conflicts } = diffRoutes(NETNS, [ONE], [old]);
    expect(plan).toEqual([
      { op: "route.replace", netns: NETNS, route: ONE, why: "routes to the pods of peers" },
    ]);
    expect(conflicts).toEqual([]);
  });

  test("keeps routes of the same address and another length apart", () => {
    const wide = route("10.1.1.0/16", "192.168.0.1");
    expect(diffRoutes(NETNS, [ONE], [wide]).plan.map(({ op }) => op)).toEqual(["route.replace", "route.del"]);
  });

  const { protocol: _protocol, ...unmarked } = ONE;
  test.each([
    ["of the kernel", { ...ONE, protocol: 2 }, "2"],
    ["of another daemon", route("10.1.1.0/24", "192.168.0.9", "eth0", 186), "186"],
    ["of unknown protocol", unmarked, "unknown"],
  ])("reports a foreign route %s in the way and leaves it", (_whose, foreign, protocol) => {
    const { plan, conflicts } = diffRoutes(NETNS, [ONE, TWO], [foreign]);
    expect(conflicts).toEqual([`10.1.1.0/24: a route of protocol ${protocol} by eth0 is in the way`]);
    expect(plan.map((step) => ("route" in step ? step.route : null))).toEqual([TWO]);
  });

  test("leaves foreign routes alone that nobody asked for", () => {
    const foreign = [route("10.9.0.0/16", "192.168.0.9", "eth0", 3), unmarked];
    expect(diffRoutes(NETNS, [], foreign)).toEqual({ plan: [], conflicts: [] });
  });
});

/** A table with one route for each destination: what the kernel does with our steps. */
function apply(plan: Plan, observed: readonly RouteSpec[]): RouteSpec[] {
  const table = new Map(observed.map((spec) => [formatPrefix(spec.dst), spec] as const));
  for (const step of plan) {
    if (step.op === "route.replace") table.set(formatPrefix(step.route.dst), step.route);
    else if (step.op === "route.del") table.delete(formatPrefix(step.route.dst));
    else throw new Error(`a route diff has no ${step.op}`);
  }
  return [...table.values()];
}

const sorted = (routes: readonly RouteSpec[]) =>
  routes.map((spec) => `${describeRoute(spec)} proto ${spec.protocol}`).sort();

function routesOf(protocols: readonly number[]): fc.Arbitrary<RouteSpec[]> {
  const digit = fc.integer({ min: 0, max: 7 });
  const spec = fc
    .tuple(fc.boolean(), digit, digit, fc.constantFrom("eth0", "eth1"), fc.constantFrom(...protocols))
    .map(([is6, net, host, dev, protocol]) =>
      is6
        ? route(`fd00:${net}::/64`, `fd01::${host}`, dev, protocol)
        : route(`10.1.${net}.0/24`, `192.168.0.${host}`, dev, protocol),
    );
  return fc.uniqueArray(spec, { selector: ({ dst }) => formatPrefix(dst), maxLength: 16 });
}

describe("property", () => {
  test("the plan turns our observed routes into the desired ones, and is done then", () => {
    fc.assert(
      fc.property(routesOf([ROUTE_PROTOCOL]), routesOf([ROUTE_PROTOCOL]), (desired, observed) => {
        const { plan, conflicts } = diffRoutes(NETNS, desired, observed);
        const after = apply(plan, observed);
        expect(conflicts).toEqual([]);
        expect(sorted(after)).toEqual(sorted(desired));
        expect(diffRoutes(NETNS, desired, after)).toEqual({ plan: [], conflicts: [] });
      }),
    );
  });

  test("foreign routes survive, each one in the way is reported, the rest is as desired", () => {
    fc.assert(
      fc.property(routesOf([ROUTE_PROTOCOL]), routesOf([ROUTE_PROTOCOL, 2, 186]), (desired, observed) => {
        const foreign = observed.filter(({ protocol }) => protocol !== ROUTE_PROTOCOL);
        const taken = new Set(foreign.map(({ dst }) => formatPrefix(dst)));
        const free = desired.filter(({ dst }) => !taken.has(formatPrefix(dst)));
        const { plan, conflicts } = diffRoutes(NETNS, desired, observed);
        const after = apply(plan, observed);
        expect(conflicts).toHaveLength(desired.length - free.length);
        expect(sorted(after)).toEqual(sorted([...foreign, ...free]));
        expect(diffRoutes(NETNS, desired, after)).toEqual({ plan: [], conflicts });
      }),
    );
  });
});

describe("diffRoutes with metrics", () => {
  test("removes a second route of ours to the same destination: replacing only matches the same metric", () => {
    const stale = { ...route("10.1.1.0/24", "192.168.0.9"), metric: 100 };
    expect(formatPlan(diffRoutes(NETNS, [ONE], [stale, ONE]).plan)).toContain(
      "ip route del 10.1.1.0/24 via 192.168.0.9 dev eth0 proto 157 metric 100",
    );
    expect(diffRoutes(NETNS, [ONE], [stale]).plan.map(({ op }) => op)).toEqual([
      "route.replace",
      "route.del",
    ]);
  });

  test("takes the metric that IPv6 routes get by themselves as none", () => {
    expect(diffRoutes(NETNS, [SIX], [{ ...SIX, metric: 1024 }]).plan).toEqual([]);
  });
});
