import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { collides, formatHostPort, isOfFamily, ownAddress } from "../../../src/net/host-port.ts";
import { address } from "../../twin/words.ts";
import { hostPort } from "../topology/host-ports-words.ts";

describe("collides", () => {
  test.each([
    ["tcp 80 1", "tcp 80 2", true],
    ["tcp 80 1", "udp 80 1", false],
    ["tcp 80 1", "sctp 80 1", false],
    ["tcp 80 1", "tcp 81 1", false],
    ["tcp 80 1", "tcp 192.0.2.1:80 1", true],
    ["tcp 192.0.2.1:80 1", "tcp 192.0.2.1:80 2", true],
    ["tcp 192.0.2.1:80 1", "tcp 192.0.2.2:80 1", false],
    ["tcp 0.0.0.0:80 1", "tcp 192.0.2.2:80 1", true],
    ["tcp 0.0.0.0:80 1", "tcp 80 1", true],
    ["tcp 0.0.0.0:80 1", "tcp [::]:80 1", false],
    ["tcp 0.0.0.0:80 1", "tcp [2001:db8::1]:80 1", false],
    ["tcp [::]:80 1", "tcp [2001:db8::1]:80 1", true],
    ["tcp [2001:db8::1]:80 1", "tcp 80 1", true],
    ["tcp [2001:db8::1]:80 1", "tcp [2001:db8::2]:80 1", false],
    // The same number in either family is two addresses.
    ["tcp 0.0.0.1:80 1", "tcp [::1]:80 1", false],
  ])("%s and %s: %p", (a, b, expected) => {
    expect(collides(hostPort(a), hostPort(b))).toBe(expected);
    expect(collides(hostPort(b), hostPort(a))).toBe(expected);
  });

  test("exactly when some packet would be taken by both", () => {
    const ips = ["", "0.0.0.0", "192.0.2.1", "192.0.2.2", "::", "2001:db8::1", "2001:db8::2"];
    const some = fc
      .record({
        protocol: fc.constantFrom("tcp", "udp"),
        ip: fc.constantFrom(...ips),
        port: fc.constantFrom(80, 81),
      })
      .map(({ protocol, ip, port }) =>
        hostPort(`${protocol} ${ip === "" ? "" : `${ip.includes(":") ? `[${ip}]` : ip}:`}${port} 1`),
      );
    const packets = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "2001:db8::3"].map(
      address,
    );
    fc.assert(
      fc.property(some, some, (a, b) => {
        const takes = (port: typeof a, to: (typeof packets)[number]) =>
          isOfFamily(port, to.family) && (ownAddress(port) === null || port.hostIp?.value === to.value);
        const isSame = a.protocol === b.protocol && a.hostPort === b.hostPort;
        expect(collides(a, b)).toBe(isSame && packets.some((to) => takes(a, to) && takes(b, to)));
      }),
    );
  });
});

test.each([
  ["tcp 8080 80", "tcp 8080"],
  ["udp 192.0.2.1:53 53", "udp 192.0.2.1:53"],
  ["sctp [2001:db8::1]:9 99", "sctp [2001:db8::1]:9"],
  ["tcp 0.0.0.0:80 80", "tcp 0.0.0.0:80"],
])("formats %s for people", (text, expected) => {
  expect(formatHostPort(hostPort(text))).toBe(expected);
});

test.each([
  ["tcp 80 80", true, true],
  ["tcp 0.0.0.0:80 80", true, false],
  ["tcp [::]:80 80", false, true],
])("%s is of IPv4: %p, of IPv6: %p", (text, four, six) => {
  expect([isOfFamily(hostPort(text), 4), isOfFamily(hostPort(text), 6)]).toEqual([four, six]);
});
