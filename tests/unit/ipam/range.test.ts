import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_SLOTS } from "../../../src/ipam/pool.ts";
import {
  addressOfSlot,
  formatRangeSet,
  isGatewayOf,
  isInRange,
  parseRange,
  parseRangeSets,
  type RangeText,
  slotOfAddress,
  slotsOf,
  slotsOfSet,
} from "../../../src/ipam/range.ts";
import { formatAddress } from "../../../src/net/address.ts";
import { address, thrown } from "../../twin/words.ts";

/** Start, end and gateway of a range as text. */
function described(text: RangeText): string {
  const range = parseRange(text);
  return `${formatRangeSet([range])} gw ${formatAddress(range.gateway)}`;
}

describe("the vectors of Go minicni's GetAllIPs", () => {
  test("192.168.0.0/30 gives .1 and .2", () => {
    expect(described({ subnet: "192.168.0.0/30" })).toBe("192.168.0.1-192.168.0.2 gw 192.168.0.1");
    expect(slotsOf(parseRange({ subnet: "192.168.0.0/30" }))).toBe(2);
  });

  test("192.168.0/30 is refused", () => {
    expect(thrown(() => parseRange({ subnet: "192.168.0/30" }))).toMatchObject({
      name: "InvalidRange",
      message: 'invalid subnet "192.168.0/30": wanted address/length',
    });
  });

  test("62.76.47.12/28 is refused with its network named", () => {
    expect(thrown(() => parseRange({ subnet: "62.76.47.12/28" }))).toMatchObject({
      message:
        "Network has host bits set. For a subnet mask of length 28 the network address is 62.76.47.0 (subnet=62.76.47.12/28)",
    });
  });

  test("172.18.1.0/24 gives .1 to .254", () => {
    expect(described({ subnet: "172.18.1.0/24" })).toBe("172.18.1.1-172.18.1.254 gw 172.18.1.1");
    expect(slotsOf(parseRange({ subnet: "172.18.1.0/24" }))).toBe(254);
  });
});

describe("parseRange", () => {
  test("has no broadcast address in IPv6", () => {
    expect(described({ subnet: "fd00::/126" })).toBe("fd00::1-fd00::3 gw fd00::1");
  });

  test("takes what is given, null and empty for absent", () => {
    expect(
      described({ subnet: "10.1.0.0/16", rangeStart: "10.1.5.0", rangeEnd: "10.1.5.9", gateway: "10.1.0.9" }),
    ).toBe("10.1.5.0-10.1.5.9 gw 10.1.0.9");
    expect(described({ subnet: "fd00::/126", gateway: "fe80::1" })).toBe("fd00::1-fd00::3 gw fe80::1");
    expect(described({ subnet: "10.1.0.0/30", rangeStart: null, rangeEnd: "", gateway: undefined })).toBe(
      "10.1.0.1-10.1.0.2 gw 10.1.0.1",
    );
  });

  test.each([
    [{ subnet: "10.0.0.0/31" }, "Network 10.0.0.0/31 too small to allocate from (wanted /30 or shorter)"],
    [{ subnet: "10.0.0.1/32" }, "Network 10.0.0.1/32 too small to allocate from (wanted /30 or shorter)"],
    [{ subnet: "fd00::/127" }, "Network fd00::/127 too small to allocate from (wanted /126 or shorter)"],
    [{ subnet: "" }, 'invalid subnet "": wanted address/length'],
    [{ subnet: "10.0.0.0/24", rangeStart: "10.0.1.5" }, "RangeStart 10.0.1.5 not in network 10.0.0.0/24"],
    [{ subnet: "10.0.0.0/24", rangeEnd: "fd00::1" }, "RangeEnd fd00::1 not in network 10.0.0.0/24"],
    [{ subnet: "10.0.0.0/24", gateway: "fd00::1" }, "gateway fd00::1 is not of the family of 10.0.0.0/24"],
    [{ subnet: "10.0.0.0/24", gateway: "10.0.0.01" }, 'invalid gateway "10.0.0.01": wanted an IP address'],
    [
      { subnet: "10.0.0.0/24", rangeStart: "10.0.0.9", rangeEnd: "10.0.0.8" },
      "RangeStart 10.0.0.9 is behind RangeEnd 10.0.0.8 in 10.0.0.0/24",
    ],
  ])("refuses %j", (text, message) => {
    expect(thrown(() => parseRange(text))).toMatchObject({ name: "InvalidRange", message });
  });
});

describe("parseRangeSets", () => {
  test("accepts two families in two sets, and two spans of one subnet in one", () => {
    const sets = parseRangeSets([
      [
        { subnet: "10.0.0.0/24", rangeEnd: "10.0.0.9" },
        { subnet: "10.0.0.0/24", rangeStart: "10.0.0.10" },
      ],
      [{ subnet: "fd00::/64" }],
    ]);
    expect(sets.map(formatRangeSet)).toEqual([
      "10.0.0.1-10.0.0.9,10.0.0.10-10.0.0.254",
      "fd00::1-fd00::ffff:ffff:ffff:ffff",
    ]);
  });

  test.each([
    [[[]], "invalid range set 0: empty range set, wanted at least one range"],
    [[[{ subnet: "10.0.0.0/24" }, { subnet: "fd00::/64" }]], "invalid range set 0: mixed address families"],
    [
      [[{ subnet: "10.0.0.0/16" }, { subnet: "10.0.1.0/24" }]],
      "invalid range set 0: subnets 10.0.0.1-10.0.255.254 and 10.0.1.1-10.0.1.254 overlap",
    ],
    [
      [[{ subnet: "10.0.0.0/24" }], [{ subnet: "10.0.0.0/24" }]],
      "range set 0 overlaps with 1: 10.0.0.0/24 and 10.0.0.0/24",
    ],
  ])("refuses %j", (sets, message) => {
    expect(thrown(() => parseRangeSets(sets))).toMatchObject({ name: "InvalidRange", message });
  });
});

describe("slots", () => {
  test("of several ranges lie one behind the other, both ways", () => {
    const octets = fc.tuple(fc.integer({ min: 1, max: 200 }), fc.nat(54));
    fc.assert(
      fc.property(fc.array(octets, { minLength: 1, maxLength: 5 }), (spans) => {
        const [set = []] = parseRangeSets([
          spans.map(([start, more], index) => ({
            subnet: `10.0.${index}.0/24`,
            rangeStart: `10.0.${index}.${start}`,
            rangeEnd: `10.0.${index}.${start + more}`,
          })),
        ]);
        for (let slot = 0; slot < slotsOfSet(set); slot++) {
          const place = addressOfSlot(set, slot);
          expect(place !== null && isInRange(place.range, place.address)).toBe(true);
          expect(place === null ? null : slotOfAddress(set, place.address)).toBe(slot);
        }
        expect(addressOfSlot(set, slotsOfSet(set))).toBeNull();
      }),
      { numRuns: 30 },
    );
  });

  test("of an IPv6 range are a window of its first 2^20 addresses", () => {
    const set = [parseRange({ subnet: "fd00::/64" })];
    expect(slotsOfSet(set)).toBe(MAX_SLOTS);
    expect(slotOfAddress(set, address("fd00::1"))).toBe(0);
    expect(slotOfAddress(set, address("fd00::10:0"))).toBe(MAX_SLOTS - 1);
    expect(slotOfAddress(set, address("fd00::10:1"))).toBeNull();
    expect(slotOfAddress(set, address("fd00:0:0:1::1"))).toBeNull();
  });

  test("of ranges behind a full window are out of reach", () => {
    const set = [parseRange({ subnet: "fd00::/64" }), parseRange({ subnet: "fd01::/64" })];
    expect(slotsOfSet(set)).toBe(MAX_SLOTS);
    expect(slotOfAddress(set, address("fd01::1"))).toBeNull();
  });

  test("the gateway of any range counts for the set", () => {
    const set = [parseRange({ subnet: "10.0.0.0/24" }), parseRange({ subnet: "10.0.1.0/24" })];
    expect(isGatewayOf(set, address("10.0.1.1"))).toBe(true);
    expect(isGatewayOf(set, address("10.0.1.2"))).toBe(false);
  });
});
