import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Address,
  addOffset,
  formatAddress,
  isSameAddress,
  parseAddress,
} from "../../../src/net/address.ts";

const v4: fc.Arbitrary<Address> = fc
  .bigInt({ min: 0n, max: (1n << 32n) - 1n })
  .map((value) => ({ family: 4, value }));

/** Groups that are often zero, so that every shape of "::" turns up. */
const v6: fc.Arbitrary<Address> = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => ({
    family: 6,
    value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n),
  }));

describe("parseAddress", () => {
  test.each([
    ["0.0.0.0", 0n],
    ["10.1.2.3", 0x0a010203n],
    ["255.255.255.255", 0xffffffffn],
  ])("reads IPv4 %s", (text, value) => {
    expect(parseAddress(text)).toEqual({ family: 4, value });
  });

  test.each([
    ["::", 0n],
    ["::1", 1n],
    ["1::", 1n << 112n],
    ["2001:DB8::A", (0x20010db8n << 96n) | 10n],
    ["::ffff:10.0.0.1", 0xffff0a000001n],
    ["1:2:3:4:5:6:7:8", 0x00010002000300040005000600070008n],
    ["1:2:3:4:5:6:1.2.3.4", 0x00010002000300040005000601020304n],
    ["0:0:0:0:0:0:0:1", 1n],
    ["1:2:3:4:5:6:7::", 0x00010002000300040005000600070000n],
  ])("reads IPv6 %s", (text, value) => {
    expect(parseAddress(text)).toEqual({ family: 6, value });
  });

  test.each([
    ["", "nothing"],
    ["010.0.0.1", "a leading zero is octal to some parsers"],
    ["10.0.0.01", "a leading zero at the end"],
    ["00.0.0.0", "two zeros"],
    ["1..2.3", "an empty octet"],
    ["1.2.3", "three octets"],
    ["1.2.3.4.5", "five octets"],
    ["1.2.3.256", "an octet above 255"],
    ["1.2.3.1000", "four digits"],
    ["-1.2.3.4", "a sign"],
    ["+1.2.3.4", "a plus sign"],
    ["1e1.0.0.1", "an exponent"],
    ["0x10.0.0.1", "a hexadecimal octet"],
    ["167837953", "one number"],
    [" 1.2.3.4", "a blank in front"],
    ["1.2.3.4 ", "a blank behind"],
    ["1.2.3.4\n", "a line break"],
    ["1.2.3.4/24", "a prefix"],
    ["1.2.3.٤", "a digit that is not ASCII"],
    [":", "a single colon"],
    [":::", "three colons"],
    ["1::2::3", "two gaps"],
    [":1:2:3:4:5:6:7", "a colon in front"],
    ["1:2:3:4:5:6:7:", "a colon behind"],
    ["1:2:3:4:5:6:7", "seven groups"],
    ["1:2:3:4:5:6:7:8:9", "nine groups"],
    ["1:2:3:4::5:6:7:8", "a gap that stands for nothing"],
    ["12345::", "a group of five digits"],
    ["g::", "a group that is not hexadecimal"],
    ["fe80::1%eth0", "a zone"],
    ["::1 ", "a blank behind IPv6"],
    ["[::1]", "brackets"],
    ["::1.2.3", "a short IPv4 tail"],
    ["::01.2.3.4", "a leading zero in the IPv4 tail"],
    ["1.2.3.4::", "IPv4 in front"],
    ["::1.2.3.4:5", "IPv4 in the middle"],
    ["1:2:3:4:5:6:7:1.2.3.4", "an IPv4 tail that is too much"],
  ])("refuses %j: %s", (text) => {
    expect(parseAddress(text)).toBeNull();
  });

  test("reads back what was formatted, both families", () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), (address) => {
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
    );
  });

  test("never throws, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:.%/]{0,40}$/)), (text) => {
        const address = parseAddress(text);
        if (address !== null && address.family === 4) expect(formatAddress(address)).toBe(text);
      }),
    );
  });
});

describe("formatAddress", () => {
  test.each([
    ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1", "§4.2.1 shorten as much as possible"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", "§4.2.2 one group is never a gap"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1", "§4.2.3 the longest run"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "§4.2.3 the first of equal runs"],
    ["2001:0DB8::AaAa", "2001:db8::aaaa", "§4.3 lower case"],
    ["2001:db8::0001", "2001:db8::1", "§4.1 no leading zeros"],
    ["::ffff:c000:201", "::ffff:192.0.2.1", "§5 mapped addresses with a dotted tail"],
    ["0:0:0:0:0:0:0:0", "::", "all zero"],
    ["0:0:1:2:3:4:0:0", "::1:2:3:4:0:0", "a run at the front"],
    ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::", "a run at the end"],
  ])("RFC 5952: %s is written %s (%s)", (text, wanted) => {
    const address = parseAddress(text);
    expect(address === null ? null : formatAddress(address)).toBe(wanted);
  });

  test("agrees with the WHATWG URL parser on IPv6", () => {
    fc.assert(
      fc.property(v6, (address) => {
        // URL writes mapped addresses in hexadecimal; RFC 5952 §5 does not.
        fc.pre(address.value >> 32n !== 0xffffn);
        expect(new URL(`http://[${formatAddress(address)}]/`).hostname).toBe(`[${formatAddress(address)}]`);
      }),
    );
  });
});

describe("arithmetic", () => {
  test("addOffset crosses octets and groups", () => {
    expect(addOffset({ family: 4, value: 0x0a0000ffn }, 1n)).toEqual({ family: 4, value: 0x0a000100n });
    expect(addOffset({ family: 6, value: 0xffffn }, 1n)).toEqual({ family: 6, value: 0x10000n });
  });

  test.each([
    [4, 0n, -1n],
    [4, 0xffffffffn, 1n],
    [6, 0n, -1n],
    [6, (1n << 128n) - 1n, 1n],
  ] as const)("addOffset is null outside the space of family %d", (family, value, offset) => {
    expect(addOffset({ family, value }, offset)).toBeNull();
  });

  test("the same number of two families is not the same address", () => {
    expect(isSameAddress({ family: 4, value: 1n }, { family: 6, value: 1n })).toBe(false);
    expect(isSameAddress({ family: 4, value: 1n }, { family: 4, value: 1n })).toBe(true);
  });
});
