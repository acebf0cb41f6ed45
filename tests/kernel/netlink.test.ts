import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { inNetns } from "../../src/host/netns.ts";
import { lookupRoutes, observeRouteTable } from "../../src/host/routes.ts";
import { formatAddress } from "../../src/net/address.ts";
import { formatPrefix } from "../../src/net/prefix.ts";
import { address } from "../twin/words.ts";
import { json, linkIndexes, nodeWith } from "./netlink.ts";
import { destroySandboxes, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const ZOO = [
  "route add default via 10.0.0.254 dev v0 proto static",
  "route add 10.1.0.0/16 via 10.0.0.9 dev v0 proto 157",
  "route add 10.1.0.0/16 via 10.0.0.10 dev v0 proto 157 metric 7",
  "route add blackhole 10.2.0.0/16",
  "route add unreachable 10.3.0.0/16 proto 99",
  "route add prohibit 10.4.0.0/16 metric 3",
  "route add throw 10.5.0.0/16",
  "route add 10.6.0.0/16 nexthop via 10.0.0.11 dev v0 weight 1 nexthop via 10.0.0.12 dev v0 weight 2",
  "route add 10.7.0.0/24 via 192.0.2.1 dev v0 onlink proto 157",
  "route add 10.8.0.1/32 dev v0 scope link mtu 1400",
  "route add 10.99.0.0/16 via 10.0.0.9 dev v0 table 100",
  "route add default via fe80::1 dev v0",
  "route add fd01::/64 via fd00::9 dev v0 proto 157",
  "route add fd02::/64 via fd00::9 dev v0 metric 5",
  "route add blackhole fd03::/64",
  "route add unreachable fd04::/64 metric 9",
  "route add prohibit fd05::/64",
  "route add fd06::/64 nexthop via fd00::9 dev v0 nexthop via fd00::a dev v0",
  "route add fd07::/64 via 2001:db8::1 dev v0 onlink",
  "route add fd08::1/128 dev v0",
  "route add fd99::/64 via fd00::9 dev v0 table 100",
];

interface Hop {
  readonly gateway?: string;
  readonly dev?: string;
  readonly flags: readonly string[];
}

interface Route extends Hop {
  readonly type: string;
  readonly dst: string;
  readonly protocol: string;
  readonly metric?: number;
  readonly nexthops?: readonly Hop[];
}

const UNICAST = "1";

/** The main table as `ip` prints it, in the words of {@link tableOf}. */
function printedRoutes(box: Sandbox, family: 4 | 6): string[] {
  const argv = ["ip", "-N", "-j", "-d", `-${family}`, "route", "show", "table", "main"];
  const indexes = linkIndexes(box);
  return json<Route>(box, ...argv).map((route) => {
    const hop = route.nexthops?.[0] ?? route;
    const any = family === 4 ? "0.0.0.0/0" : "::/0";
    const dst = route.dst === "default" ? any : route.dst;
    const length = family === 4 ? 32 : 128;
    // Those that lead nowhere have no link; `ip` prints lo for IPv6's.
    const index = route.type === UNICAST ? indexes.get(hop.dev ?? "") : 0;
    const onlink = hop.flags.includes("onlink") ? " onlink" : "";
    return `${dst.includes("/") ? dst : `${dst}/${length}`} via ${hop.gateway} dev ${index} metric ${route.metric ?? 0} type ${route.type} proto ${route.protocol}${onlink}`;
  });
}

function tableOf(box: Sandbox): string[] {
  const table = inNetns(box.netns, observeRouteTable);
  return Array.from({ length: table.count }, (_, at) => {
    const { dst, via, ifindex, metric, type, protocol, isOnlink } = table.at(at);
    const gateway = via === null ? undefined : formatAddress(via);
    return `${formatPrefix(dst)} via ${gateway} dev ${ifindex} metric ${metric} type ${type} proto ${protocol}${isOnlink ? " onlink" : ""}`;
  });
}

describe("the route table", () => {
  test("is what `ip route` prints of the main table, whatever routes there are", () => {
    const box = nodeWith(ZOO);
    const printed = [...printedRoutes(box, 4), ...printedRoutes(box, 6)].sort();
    expect(tableOf(box).sort()).toEqual(printed);
    expect(printed.length).toBeGreaterThan(18);
    expect(printed.join("\n")).not.toContain(".99.");
  });

  test("of a namespace without any route is empty", () => {
    expect(tableOf(new Sandbox())).toEqual([]);
  });

  test("is whole where one dump needs many reads", () => {
    const routes = Array.from(
      { length: 3000 },
      (_, index) => `route add 10.${64 + (index >> 8)}.${index & 255}.0/24 via 10.0.0.9 dev v0 proto 157`,
    );
    const box = nodeWith(routes);
    const table = tableOf(box).filter((line) => line.endsWith("proto 157"));
    expect(new Set(table).size).toBe(3000);
  });
});

interface Got {
  readonly type?: string;
  readonly gateway?: string;
  readonly dev: string;
}

/** What `ip route get` says, in the words of {@link lookedUp}; null when it fails. */
function printedLookup(box: Sandbox, towards: string): string | null {
  const done = run(["nsenter", `--net=${box.netns}`, "ip", "-j", "route", "get", towards]);
  if (done.exitCode !== 0) return null;
  const [got]: Got[] = JSON.parse(done.stdout);
  return got === undefined ? null : `via ${got.gateway} dev ${got.dev} ${got.type === "local"}`;
}

function lookedUp(box: Sandbox, towards: readonly string[]): (string | null)[] {
  const names = new Map([...linkIndexes(box)].map(([name, index]) => [index, name]));
  return inNetns(box.netns, () => lookupRoutes(towards.map(address))).map((found) => {
    if (found === null) return null;
    const gateway = found.gateway === null ? undefined : formatAddress(found.gateway);
    return `via ${gateway} dev ${names.get(found.ifindex)} ${found.isLocal}`;
  });
}

describe("looking up routes", () => {
  const ASKED = [
    "10.0.0.9",
    "10.0.0.1",
    "10.1.2.3",
    "10.2.0.1",
    "10.3.0.1",
    "10.4.0.1",
    "10.7.0.9",
    "10.8.0.1",
    "192.0.2.9",
    "127.0.0.1",
    "fd00::9",
    "fd00::1",
    "fd01::9",
    "fd03::1",
    "fd04::1",
    "fd05::1",
    "fd07::1",
    "2001:db8::9",
    "::1",
  ];

  test("says what `ip route get` says", () => {
    const box = nodeWith(ZOO);
    const printed = ASKED.map((towards) => printedLookup(box, towards));
    expect(lookedUp(box, ASKED)).toEqual(printed);
    expect(printed.filter((line) => line === null)).toHaveLength(6);
  });

  test("keeps the order over many more addresses than go into one request", () => {
    const box = nodeWith(["route add 10.0.0.128/25 via 10.0.0.9 dev v0", "route add blackhole 10.0.0.64/26"]);
    const asked = Array.from({ length: 1000 }, (_, index) => `10.0.0.${2 + (index % 250)}`);
    const wanted = asked.map((text) => {
      const last = Number(text.split(".")[3]);
      if (last >= 128) return "via 10.0.0.9 dev v0 false";
      return last >= 64 ? null : "via undefined dev v0 false";
    });
    expect(lookedUp(box, asked)).toEqual(wanted);
  });

  test("of a machine without any route: all are unreachable", () => {
    expect(lookedUp(new Sandbox(), ["10.0.0.1", "fd00::1"])).toEqual([null, null]);
    expect(lookedUp(new Sandbox(), [])).toEqual([]);
  });

  test("a broadcast address is no way to a peer", () => {
    expect(lookedUp(nodeWith([]), ["10.0.0.255", "255.255.255.255", "224.0.0.1"])).toEqual([
      null,
      null,
      null,
    ]);
  });

  test("tells a gateway of the other family", () => {
    const box = nodeWith(["route add 10.9.0.0/16 via inet6 fd00::9 dev v0"]);
    expect(lookedUp(box, ["10.9.0.1"])).toEqual(["via fd00::9 dev v0 false"]);
    expect(tableOf(box)).toContainEqual(expect.stringMatching(/^10\.9\.0\.0\/16 via 0\.0\.0\.0 dev/));
  });
});
