import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import IPCIDR from "ip-cidr";
import { type Address, addressBits, formatAddress } from "../../../src/net/address.ts";
import {
  contains,
  formatPrefix,
  hasHostBits,
  hostPrefix,
  isSamePrefix,
  lastAddress,
  networkOf,
  overlaps,
  type Prefix,
  parsePrefix,
} from "../../../src/net/prefix.ts";
import { prefix } from "../../twin/words.ts";

const addressOf = (family: 4 | 6): fc.Arbitrary<Address> =>
  fc.bigInt({ min: 0n, max: (1n << BigInt(addressBits(family))) - 1n }).map((value) => ({ family, value }));
const prefixes: fc.Arbitrary<Prefix> = fc
  .constantFrom(4 as const, 6 as const)
  .chain((family) => fc.record({ address: addressOf(family), length: fc.nat(addressBits(family)) }));

describe("parsePrefix", () => {
  test.each([
    ["0.0.0.0/0", 4, 0n, 0],
    ["10.1.2.3/24", 4, 0x0a010203n, 24],
    ["1.2.3.4/32", 4, 0x01020304n, 32],
    ["::/0", 6, 0n, 0],
    ["::1/128", 6, 1n, 128],
  ] as const)("reads %s", (text, family, value, length) => {
    expect(parsePrefix(text)).toEqual({ address: { family, value }, length });
  });

  test.each([
    "",
    "10.0.0.0",
    "/24",
    "10.0.0.0/",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/024",
    "10.0.0.0/+8",
    "10.0.0.0/-1",
    "10.0.0.0/8.0",
    "10.0.0.0/ 8",
    "10.0.0.0 /8",
    "10.0.0.0/8/8",
    "10.0.0.0/255.0.0.0",
    "10.0.0.0/1e1",
    "010.0.0.0/8",
    "192.168.0/30",
    "fe80::%eth0/64",
  ])("refuses %j", (text) => {
    expect(parsePrefix(text)).toBeNull();
  });

  test("reads back what was formatted", () => {
    fc.assert(fc.property(prefixes, (one) => expect(parsePrefix(formatPrefix(one))).toEqual(one)));
  });
});

/** An IPv6 address as eight groups, nothing left out. */
function inGroups(value: bigint): string {
  const digits = value.toString(16).padStart(32, "0");
  return digits.replace(/(.{4})(?=.)/g, "$1:");
}

describe("networks", () => {
  test("agree with ip-cidr on first and last address", () => {
    fc.assert(
      fc.property(prefixes, (one) => {
        const oracle = new IPCIDR(formatPrefix(one));
        expect(networkOf(one).address.value).toBe(BigInt(oracle.start({ type: "bigInteger" }).toString()));
        expect(lastAddress(one).value).toBe(BigInt(oracle.end({ type: "bigInteger" }).toString()));
      }),
    );
  });

  test("agree with ip-cidr on what they hold, near their borders too", () => {
    const near = fc.tuple(prefixes, fc.bigInt({ min: -3n, max: 3n }), fc.boolean());
    fc.assert(
      fc.property(near, ([one, offset, atEnd]) => {
        const { family } = one.address;
        const border = atEnd ? lastAddress(one).value : networkOf(one).address.value;
        const value = BigInt.asUintN(addressBits(family), border + offset);
        const address: Address = { family, value };
        // The oracle takes `::ffff:1.2.3.4` for an address of IPv4, so that it gets hexadecimal groups.
        const oracle = new IPCIDR(formatPrefix(one)).contains(
          family === 4 ? formatAddress(address) : inGroups(value),
        );
        expect(contains(one, address)).toBe(oracle);
      }),
      { examples: [[[prefix("::/80"), 0n, true]]] },
    );
  });

  test("hold no address of the other family", () => {
    expect(contains(prefix("0.0.0.0/0"), { family: 6, value: 1n })).toBe(false);
    expect(overlaps(prefix("0.0.0.0/0"), prefix("::/0"))).toBe(false);
  });

  test("know host bits", () => {
    expect(hasHostBits(prefix("62.76.47.12/28"))).toBe(true);
    expect(formatPrefix(networkOf(prefix("62.76.47.12/28")))).toBe("62.76.47.0/28");
    expect(hasHostBits(prefix("62.76.47.0/28"))).toBe(false);
    expect(hasHostBits(prefix("1.2.3.4/32"))).toBe(false);
  });

  test("overlap exactly when one holds the other's first address", () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        const wanted = contains(a, networkOf(b).address) || contains(b, networkOf(a).address);
        expect(overlaps(a, b)).toBe(wanted);
        expect(overlaps(b, a)).toBe(wanted);
      }),
    );
  });

  test("are the same only with the same address, length and family", () => {
    expect(isSamePrefix(prefix("10.0.0.0/8"), prefix("10.0.0.0/8"))).toBe(true);
    expect(isSamePrefix(prefix("10.0.0.0/8"), prefix("10.0.0.0/9"))).toBe(false);
    expect(isSamePrefix(prefix("0.0.0.0/0"), prefix("::/0"))).toBe(false);
  });

  test("of one host hold that address alone", () => {
    fc.assert(
      fc.property(fc.oneof(addressOf(4), addressOf(6)), (address) => {
        const one = hostPrefix(address);
        expect(lastAddress(one)).toEqual(address);
        expect(networkOf(one).address).toEqual(address);
      }),
    );
  });
});
