import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { describeCluster, dumpOf, packRoutes } from "../../../../src/entry/bench/routes/cluster.ts";
import { encodeDump, parseDump } from "../../../../src/entry/bench/routes/dump.ts";
import { FAMILIES } from "../../../../src/net/address.ts";
import { RouteTable, type TableRoute } from "../../../../src/plan/route-table.ts";

const routesOf = (table: RouteTable) => Array.from({ length: table.count }, (_, index) => table.at(index));

/** A route that a kernel could have: host bits clear, a metric where IPv6 always has one. */
const route = (family: 4 | 6): fc.Arbitrary<TableRoute> => {
  const bits = family === 4 ? 32 : 128;
  const address = fc
    .bigInt({ min: 1n, max: (1n << BigInt(bits)) - 1n })
    .map((value) => ({ family, value }) as const);
  return fc.record({
    dst: fc.tuple(address, fc.integer({ min: 0, max: bits })).map(([{ value }, length]) => {
      const host = BigInt(bits - length);
      return { address: { family, value: (value >> host) << host }, length };
    }),
    via: fc.option(address),
    ifindex: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    metric: fc.integer({ min: family === 4 ? 0 : 1, max: 2 ** 32 - 1 }),
    isOnlink: fc.boolean(),
    type: fc.constantFrom(1, 2, 5),
    protocol: fc.integer({ min: 0, max: 255 }),
  });
};

describe("a dump that was encoded", () => {
  test("is read by the agent's own code as the table it was made of", () => {
    fc.assert(
      fc.property(fc.array(route(4)), fc.array(route(6)), (four, six) => {
        const table = new RouteTable();
        for (const each of [...four, ...six]) table.push(each);
        expect(routesOf(parseDump(encodeDump(table)))).toEqual([...four, ...six]);
      }),
      { numRuns: 200 },
    );
  });

  test("comes in as many datagrams as the kernel would need, with no message cut", () => {
    const observed = dumpOf(packRoutes(describeCluster(2_001, FAMILIES), 2));
    const dump = encodeDump(observed);
    // 60 bytes an IPv4 route, less where there is no gateway, in datagrams of 32 KB.
    expect(dump[4].map(({ length }) => length > 32_000)).toEqual([true, true, true, false]);
    expect(dump[6].every(({ length }) => length <= 32_768)).toBe(true);
    expect(parseDump(dump).words).toEqual(observed.words);
  });
});
