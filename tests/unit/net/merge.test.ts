import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addressBits, type Family } from "../../../src/net/address.ts";
import { mergePrefixes } from "../../../src/net/merge.ts";
import { formatPrefix, lastAddress, networkOf, type Prefix } from "../../../src/net/prefix.ts";
import { prefix } from "../../twin/words.ts";

const merged = (...texts: string[]) => mergePrefixes(texts.map(prefix)).map(formatPrefix);

describe("mergePrefixes", () => {
  test("makes one of the halves of a prefix, as far up as it goes", () => {
    expect(merged("10.244.3.0/24", "10.244.0.0/24", "10.244.2.0/24", "10.244.1.0/24")).toEqual([
      "10.244.0.0/22",
    ]);
    expect(merged("128.0.0.0/1", "0.0.0.0/1", "::/1", "8000::/1")).toEqual(["0.0.0.0/0", "::/0"]);
  });

  test("joins no neighbours that are not halves of one prefix", () => {
    expect(merged("10.0.1.0/24", "10.0.2.0/24")).toEqual(["10.0.1.0/24", "10.0.2.0/24"]);
    expect(merged("10.0.0.0/24", "10.0.1.0/25")).toEqual(["10.0.0.0/24", "10.0.1.0/25"]);
  });

  test("drops what another one holds, host bits, and doubles", () => {
    expect(merged("fd00::5/128", "10.1.0.9/24", "fd00::/64", "10.1.0.0/24", "10.1.0.128/25")).toEqual([
      "10.1.0.0/24",
      "fd00::/64",
    ]);
  });

  test("keeps the families apart, although their numbers meet", () => {
    expect(merged("::/128", "0.0.0.1/32", "0.0.0.0/32")).toEqual(["0.0.0.0/31", "::/128"]);
    expect(merged("1.0.0.0/8", "::/8")).toEqual(["1.0.0.0/8", "::/8"]);
  });

  test("of nothing is nothing", () => expect(mergePrefixes([])).toEqual([]));

  /** Prefixes in the last `WIDTH` bits of a space of this family, so that every address can be looked at. */
  const WIDTH = 6;
  const base: Readonly<Record<Family, bigint>> = { 4: 0x0aff_ffc0n, 6: (0xfd00n << 112n) | 0xffc0n };
  const some: fc.Arbitrary<Prefix> = fc
    .record({
      family: fc.constantFrom<Family>(4, 6),
      last: fc.bigInt({ min: 0n, max: 2n ** BigInt(WIDTH) - 1n }),
      host: fc.integer({ min: 0, max: WIDTH }),
    })
    .map(({ family, last, host }) => ({
      address: { family, value: base[family] + last },
      length: addressBits(family) - host,
    }));

  /** Every address that one of the prefixes holds, one by one. */
  const addressesIn = (prefixes: readonly Prefix[]) => {
    const found = new Set<string>();
    for (const one of prefixes) {
      const { family, value } = networkOf(one).address;
      for (let at = value; at <= lastAddress(one).value; at++) found.add(`${family} ${at}`);
    }
    return found;
  };

  /** The fewest prefixes of a set of addresses: the widest whole one from each first address on. */
  const fewest = (addresses: ReadonlySet<string>) => {
    let count = 0;
    for (const family of [4, 6] as const) {
      let at = base[family];
      const end = at + 2n ** BigInt(WIDTH);
      while (at < end) {
        let size = 0n;
        for (let bits = 0n; bits <= BigInt(WIDTH); bits++) {
          const span = 2n ** bits;
          const isWhole = Array.from({ length: Number(span) }, (_, index) => at + BigInt(index));
          if (at % span === 0n && isWhole.every((one) => addresses.has(`${family} ${one}`))) size = span;
        }
        if (size > 0n) count++;
        at += size === 0n ? 1n : size;
      }
    }
    return count;
  };

  test("holds the same addresses in the fewest prefixes, sorted", () => {
    fc.assert(
      fc.property(fc.array(some, { maxLength: 24 }), (prefixes) => {
        const found = mergePrefixes(prefixes);
        const addresses = addressesIn(prefixes);
        expect(addressesIn(found)).toEqual(addresses);
        expect(found.length).toBe(fewest(addresses));
        const keys = found.map(({ address }) => [address.family, address.value] satisfies [Family, bigint]);
        const sorted = keys.toSorted(([a, x], [b, y]) => a - b || (x < y ? -1 : 1));
        expect(keys).toEqual(sorted);
      }),
      { numRuns: 300 },
    );
  });

  test("is the same for any order, and for what it gave", () => {
    fc.assert(
      fc.property(fc.array(some, { maxLength: 24 }), (prefixes) => {
        const found = mergePrefixes(prefixes);
        expect(mergePrefixes(prefixes.toReversed())).toEqual(found);
        expect(mergePrefixes(found)).toEqual(found);
      }),
    );
  });
});
