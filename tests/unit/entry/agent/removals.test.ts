import { describe, expect, test } from "bun:test";
import { createRemovalGuard } from "../../../../src/entry/agent/removals.ts";
import type { RouteTable } from "../../../../src/plan/route-table.ts";
import { createRouteDiff } from "../../../../src/wasm/routes.ts";
import { route, tableOf } from "../../../twin/routes.ts";

const MINUTE_MS = 60_000;

function many(count: number, first = 0, protocol = 157) {
  return Array.from({ length: count }, (_, index) =>
    route(`10.${protocol}.${first + index}.0/24`, "192.168.0.1", { protocol }),
  );
}

function stage() {
  let nowMs = 1_000;
  const guard = createRemovalGuard(() => nowMs);
  const allows = (desired: RouteTable, observed: RouteTable) =>
    guard.allows(createRouteDiff().diff(desired, observed), observed);
  return { allows, pass: (ms: number) => (nowMs += ms) };
}

describe("routes of peers that are gone", () => {
  test("may go at once when they are few, or not more than half", () => {
    const { allows } = stage();
    expect(allows(tableOf(), tableOf(...many(9)))).toBe(true);
    expect(allows(tableOf(...many(10)), tableOf(...many(20)))).toBe(true);
    expect(allows(tableOf(...many(20)), tableOf(...many(20)))).toBe(true);
  });

  test("stay for a minute when they are ten and more than half of ours", () => {
    const { allows, pass } = stage();
    const [desired, observed] = [tableOf(...many(9)), tableOf(...many(20))];
    expect(allows(desired, observed)).toBe(false);
    pass(MINUTE_MS - 1);
    expect(allows(desired, observed)).toBe(false);
    pass(1);
    expect(allows(desired, observed)).toBe(true);
  });

  test("stay for a whole minute again when the Nodes were back in between", () => {
    const { allows, pass } = stage();
    const [short, whole, observed] = [tableOf(...many(3)), tableOf(...many(20)), tableOf(...many(20))];
    expect(allows(short, observed)).toBe(false);
    pass(MINUTE_MS - 1);
    expect(allows(whole, observed)).toBe(true);
    expect(allows(short, observed)).toBe(false);
    pass(MINUTE_MS - 1);
    expect(allows(short, observed)).toBe(false);
  });

  test("are measured by our own routes: those of others count on neither side", () => {
    const { allows } = stage();
    const observed = tableOf(...many(12), ...many(200, 0, 186));
    expect(allows(tableOf(), observed)).toBe(false);
  });

  test("do not count when they are second routes to peers that are there", () => {
    const { allows } = stage();
    const seconds = many(20).map((one) => ({ ...one, metric: 7 }));
    expect(allows(tableOf(...many(20)), tableOf(...many(20), ...seconds))).toBe(true);
  });
});
