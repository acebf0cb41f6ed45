import { describe, expect, test } from "bun:test";
import { judgeHint } from "../../../../src/entry/agent/hints.ts";
import { parseHint } from "../../../../src/host/hint.ts";

/** Lines of `ip -oneline monitor label link address route rule` (iproute2 6.1), as they came. */
function judge(line: string): string {
  const hint = parseHint(line);
  return hint === null ? "ignore" : judgeHint(hint, "minicni0");
}

const ETHER = "link/ether 26:87:80:33:97:35 brd ff:ff:ff:ff:ff:ff";

describe("looks again for", () => {
  test.each([
    "[ROUTE]10.244.2.0/24 via 10.244.1.9 dev eth0 proto 157 ",
    "[ROUTE]Deleted 10.244.2.0/24 via 10.244.1.9 dev eth0 proto 157 ",
    "[ROUTE]blackhole fd00::/64 dev lo proto 157 metric 1024 pref medium",
    "[ROUTE]default via 10.9.0.254 dev eth0 ",
    `[LINK]3: minicni.vxlan: <BROADCAST,MULTICAST> mtu 1450 qdisc noqueue state DOWN group default \\    ${ETHER}`,
    `[LINK]Deleted 3: minicni.vxlan: <BROADCAST,MULTICAST> mtu 1450 qdisc noop state DOWN group default \\    ${ETHER}`,
    `[LINK]2: eth0@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc noqueue state UP group default \\    ${ETHER}`,
    "[ADDR]Deleted 3: minicni.vxlan    inet 10.244.1.0/32 scope global minicni.vxlan\\       valid_lft forever preferred_lft forever",
  ])("%s", (line) => {
    expect(judge(line)).toBe("look");
  });
});

describe("repairs the bridge at once for", () => {
  test.each([
    "[ADDR]Deleted 2: minicni0    inet 10.244.1.1/24 scope global minicni0\\       valid_lft forever preferred_lft forever",
    `[LINK]2: minicni0: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN group default \\    ${ETHER}`,
    `[LINK]Deleted 2: minicni0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default \\    ${ETHER}`,
  ])("%s", (line) => {
    expect(judge(line)).toBe("bridge");
  });
});

test("a bridge without a port has no carrier, and is not down for that", () => {
  const line =
    "[LINK]2: minicni0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN group default";
  expect(judge(`${line} \\    ${ETHER}`)).toBe("ignore");
});

describe("does not for what pods do", () => {
  test.each([
    "[ROUTE]local 10.244.1.1 dev minicni0 table local proto kernel scope host src 10.244.1.1 ",
    "[ROUTE]multicast ff00::/8 dev minicni0 table local proto kernel metric 256 pref medium",
    "[ROUTE]fe80::/64 dev mcni0123456789a proto kernel metric 256 pref medium",
    `[LINK]4: mcni0123456789a@p: <BROADCAST,MULTICAST,M-DOWN> mtu 1500 qdisc noop state DOWN group default \\    ${ETHER}`,
    "[LINK]Deleted 4: mcni0123456789a@p: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master minicni0 state UP \\    link/ether 26:87:80:33:97:35",
    `[LINK]2: minicni0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default \\    ${ETHER}`,
    `[LINK]2: minicni0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UNKNOWN group default event FEATURE CHANGE \\    ${ETHER}`,
  ])("%s", (line) => {
    expect(judge(line)).toBe("ignore");
  });
});

test("a policy rule may change how every peer is reached", () => {
  expect(judge("[RULE]32765:\tfrom all to 1.2.3.4 lookup 100")).toBe("forget");
  expect(judge("[RULE]Deleted 32765:\tfrom all to 1.2.3.4 lookup 100")).toBe("forget");
});
