import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  type Act,
  expectAlike,
  expectSameState,
  FILTERS_VLANS,
  outcomeOf,
  stepsOf,
  withArenas,
} from "./executors.ts";
import { ADDRESS_TABLE } from "./executors-address.ts";
import { LINK_CASES } from "./executors-link.ts";
import { ROUTE_CASES, routeAct } from "./executors-route.ts";
import { TRAFFIC_CASES } from "./executors-shaping.ts";
import { destroySandboxes } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const HAS = { "vlan filtering": FILTERS_VLANS };
const TABLE = { ...LINK_CASES, ...ADDRESS_TABLE, ...TRAFFIC_CASES, route: ROUTE_CASES };

describe.each(Object.entries(TABLE))("both engines do the same: %s", (_operation, cases) => {
  for (const it of cases) {
    test.skipIf(it.needs !== undefined && !HAS[it.needs])(it.name, () => expectAlike(it));
  }
});

/** What words can't say, or not as they are: `acts` by netlink, `lines` by hand. */
async function expectAsByHand(acts: readonly Act[], lines: readonly string[]): Promise<void> {
  await withArenas([], async (arenas) => {
    const { netlink, iproute2 } = arenas;
    const plan = stepsOf(acts, netlink.place);
    expect(await outcomeOf(plan, "netlink")).toEqual({ failed: null, message: "" });
    for (const line of lines) iproute2.box.node("sh", "-ec", line);
    await expectSameState(arenas, []);
  });
}

describe("netlink does what is done by hand", () => {
  test("an alias of any letters", async () => {
    const alias = `pod „α“ # 'x' ${"ü".repeat(118)}`;
    expect(new TextEncoder().encode(alias).length).toBe(255);
    await expectAsByHand(
      [{ op: "link.set", name: "v0", set: { alias } }],
      [`ip link set v0 alias "${alias}"`],
    );
  });

  test("a route of IPv4 via a gateway of IPv6", () =>
    expectAsByHand(
      [
        routeAct("append", "10.9.0.0/16", { via: "fd00::9" }),
        routeAct("append", "10.8.0.0/16", { via: "fe80::9", onlink: true, metric: 7 }),
        routeAct("replace", "10.8.0.0/16", { via: "fe80::a", onlink: true, metric: 7, protocol: 157 }),
        routeAct("append", "10.7.0.0/16", { via: "fe80::9" }),
        routeAct("del", "10.7.0.0/16", { via: "fe80::9" }),
      ],
      [
        "ip route append 10.9.0.0/16 via inet6 fd00::9 dev v0",
        "ip route append 10.8.0.0/16 via inet6 fe80::a dev v0 onlink metric 7 proto 157",
      ],
    ));
});
