import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ROUTE_WORDS, RouteTable, type TableRoute } from "../../../src/plan/route-table.ts";
import { route, tableOf } from "../../twin/routes.ts";

const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const byte = fc.integer({ min: 0, max: 255 });

/** Any route whose address has any bits. */
const anyRoute = fc
  .record({
    family: fc.constantFrom(4, 6),
    dst: fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }),
    via: fc.option(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), { nil: null }),
    length: byte,
    ifindex: uint32,
    metric: uint32,
    isOnlink: fc.boolean(),
    type: byte,
    protocol: byte,
  })
  .map(({ family, dst, via, length, ...rest }): TableRoute => {
    const cut = (value: bigint) => (family === 4 ? value & 0xffffffffn : value);
    return {
      ...rest,
      dst: { address: { family, value: cut(dst) }, length },
      via: via === null ? null : { family, value: cut(via) },
    };
  });

describe("RouteTable", () => {
  test("gives back every route that was pushed, however much it has grown", () => {
    fc.assert(
      fc.property(fc.array(anyRoute, { maxLength: 40 }), (routes) => {
        const table = new RouteTable(1);
        for (const one of routes) table.push(one);
        expect(table.count).toBe(routes.length);
        expect(routes.map((_, index) => table.at(index))).toEqual(routes);
      }),
    );
  });

  test("has addresses in network order and the metric that the kernel gives", () => {
    const table = tableOf(
      route("10.1.2.0/24", "192.168.0.1"),
      route("fd00:1::/64", "fd01::2", { isOnlink: true }),
    );
    const bytes = new Uint8Array(table.words.buffer);
    expect(Array.from(bytes.subarray(0, 4))).toEqual([10, 1, 2, 0]);
    expect(Array.from(bytes.subarray(64, 70))).toEqual([0xfd, 0, 0, 1, 0, 0]);
    const rest = (index: number) =>
      Array.from(table.words.subarray(index * ROUTE_WORDS + 4, index * ROUTE_WORDS + 6));
    expect([rest(0), rest(1)]).toEqual([
      [4 | (24 << 8), 0],
      [6 | (64 << 8), 1024],
    ]);
  });

  test("has no route beyond the last", () => {
    const table = tableOf(route("10.1.2.0/24", null));
    for (const index of [-1, 1, Number.NaN]) expect(() => table.at(index)).toThrow(RangeError);
  });
});
