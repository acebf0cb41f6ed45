import { describe, expect, test } from "bun:test";
import { parseHint } from "../../../src/host/hint.ts";

/** As iproute2 6.1.0 prints them on Linux 6.18. */
const LINES: readonly (readonly [string, string])[] = [
  [
    "[LINK]7: mcni0123456789a@eth9: <BROADCAST,MULTICAST,M-DOWN> mtu 1500 qdisc noop state DOWN group default \\    link/ether 06:0c:d1:eb:94:a9 brd ff:ff:ff:ff:ff:ff",
    "link mcni0123456789a",
  ],
  [
    "[LINK]7: mcni0123456789a@eth9: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master br0 state UP \\    link/ether 06:0c:d1:eb:94:a9",
    "link mcni0123456789a",
  ],
  [
    "[LINK]8: br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc noqueue state UP group default \\    link/ether 06:0c:d1:eb:94:a9 brd ff:ff:ff:ff:ff:ff",
    "link br0",
  ],
  [
    "[LINK]4: minicni.vxlan: <BROADCAST,MULTICAST> mtu 1450 qdisc noop state DOWN group default event FEATURE CHANGE \\    link/ether 0e:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff",
    "link minicni.vxlan",
  ],
  [
    "[LINK]Deleted 7: mcni0123456789a@NONE: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default \\    link/ether 06:0c:d1:eb:94:a9 brd ff:ff:ff:ff:ff:ff",
    "link mcni0123456789a deleted",
  ],
  [
    "[LINK]Deleted 5: eth0@if9: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default \\    link/ether 06:0c:d1:eb:94:a9 brd ff:ff:ff:ff:ff:ff link-netns pod1",
    "link eth0 deleted",
  ],
  [
    "[ADDR]8: br0    inet 10.5.0.1/24 scope global br0\\       valid_lft forever preferred_lft forever",
    "address br0",
  ],
  [
    "[ADDR]8: eth0.100    inet6 fd00:5::1/64 scope global nodad \\       valid_lft forever preferred_lft forever",
    "address eth0.100",
  ],
  [
    "[ADDR]Deleted 8: br0    inet 10.5.0.1/24 scope global br0\\       valid_lft forever preferred_lft forever",
    "address br0 deleted",
  ],
  [
    "[ADDR]Deleted 7: mcni0123456789a    inet6 fe80::40c:d1ff:feeb:94a9/64 scope link tentative \\       valid_lft forever preferred_lft forever",
    "address mcni0123456789a deleted",
  ],
  ["[ROUTE]10.6.0.0/16 via 10.5.0.9 dev br0 proto 157 ", "route br0"],
  ["[ROUTE]default via 10.5.0.9 dev eth0 ", "route eth0"],
  ["[ROUTE]10.5.0.0/24 dev br0 proto kernel scope link src 10.5.0.1 ", "route br0"],
  ["[ROUTE]blackhole 10.8.0.0/16 ", "route null"],
  ["[ROUTE]fd00:6::/64 via fd00:5::9 dev br0 proto 157 metric 1024 pref medium", "route br0"],
  [
    "[ROUTE]10.9.0.0/16 \\\tnexthop via 10.5.0.9 dev br0 weight 1 \\\tnexthop via 10.5.0.10 dev br1 weight 1 ",
    "route br0",
  ],
  ["[ROUTE]10.9.0.0/16 via 10.5.0.9 dev br0 table 100 ", "route br0"],
  ["[ROUTE]Deleted 10.6.0.0/16 via 10.5.0.9 dev br0 proto 157 ", "route br0 deleted"],
  ["[ROUTE]Deleted fd00:9::/64 via fd00:5::10 dev br0 metric 1024 pref medium", "route br0 deleted"],
  ["[RULE]99:\tfrom 10.0.0.0/8 lookup 100", "rule null"],
  ["[RULE]Deleted 99:\tfrom 10.0.0.0/8 iif eth0 lookup 100", "rule null deleted"],
];

describe("a line of ip monitor", () => {
  test.each(LINES)("%s", (line, wanted) => {
    const hint = parseHint(line);
    expect(`${hint?.kind} ${hint?.dev}${hint?.isDelete === true ? " deleted" : ""}`).toBe(wanted);
    expect(hint?.text).toBe(line);
  });

  test.each([
    "",
    "    link/ether 66:9b:51:97:d8:e5 brd ff:ff:ff:ff:ff:ff",
    "       valid_lft forever preferred_lft forever",
    "\tnexthop via 10.5.0.9 dev br0 weight 1 ",
    "8: br0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default ",
    "[NEIGH]10.0.0.9 dev v0 lladdr 0e:00:00:00:00:01 PERMANENT",
    "[ROUTE]local 10.5.0.1 dev br0 table local proto kernel scope host src 10.5.0.1 ",
    "[ROUTE]Deleted multicast ff00::/8 dev br0 table local proto kernel metric 256 pref medium",
  ])("that tells no change of its own: %j", (line) => {
    expect(parseHint(line)).toBeNull();
  });
});
