import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { macOfAddress, macOfName, parseMac } from "../../../src/net/mac.ts";
import { address } from "../../twin/words.ts";

describe("parseMac", () => {
  test("takes dashes, as Go does", () => {
    expect(parseMac("C2-B0-57-49-47-F1")).toBe("c2:b0:57:49:47:f1");
  });

  test("gives lower-case colon text", () => {
    expect(parseMac("C2:B0:57:49:47:F1")).toBe("c2:b0:57:49:47:f1");
  });

  test.each([
    ["", "nothing"],
    ["01:00:5e:00:00:01", "multicast"],
    ["ff:ff:ff:ff:ff:ff", "broadcast"],
    ["00:00:00:00:00:00", "all zero"],
    ["c2-b0:57-49:47-f1", "dashes and colons"],
    ["c2b0.5749.47f1", "dots"],
    ["c2:b0:57:49:47", "five octets"],
    ["c2:b0:57:49:47:f1:00:00", "eight octets (EUI-64)"],
    ["c2:b0:57:49:47:f", "half an octet"],
    [" c2:b0:57:49:47:f1", "a blank in front"],
    ["c2:b0:57:49:47:f1\n", "a line break"],
    ["g2:b0:57:49:47:f1", "a letter that is no hexadecimal digit"],
  ])("refuses %j: %s", (text) => {
    expect(parseMac(text)).toBeNull();
  });
});

describe("derived MACs", () => {
  test("an IPv4 address gives 0a:58 and its four octets", () => {
    expect(macOfAddress(address("10.244.1.7"))).toBe("0a:58:0a:f4:01:07");
    expect(macOfAddress(address("0.0.0.1"))).toBe("0a:58:00:00:00:01");
  });

  test("are unicast, locally administered and accepted by parseMac", () => {
    fc.assert(
      fc.property(fc.string(), fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (name, value) => {
        for (const mac of [macOfName(name), macOfAddress({ family: 6, value })]) {
          expect(parseMac(mac)).toBe(mac);
          expect(Number.parseInt(mac.slice(0, 2), 16) & 2).toBe(2);
        }
      }),
    );
  });

  test("are the same on every call and differ between neighbours", () => {
    expect(macOfName("mcni1")).toBe(macOfName("mcni1"));
    expect(macOfName("mcni1")).not.toBe(macOfName("mcni2"));
    expect(macOfAddress(address("fd00::1"))).not.toBe(macOfAddress(address("fd00::2")));
  });
});
