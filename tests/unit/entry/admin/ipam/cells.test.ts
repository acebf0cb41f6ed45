import { describe, expect, test } from "bun:test";
import type { IpamRange } from "../../../../../src/doctor/sections/ipam.ts";
import { type HeldAddress, mapCells, type RangeMap } from "../../../../../src/entry/admin/ipam/cells.ts";

const rangeOf = (subnet: string, first: string, last: string, gateway = first): IpamRange => ({
  subnet,
  first,
  last,
  gateway,
});
const SMALL = rangeOf("10.1.2.0/24", "10.1.2.1", "10.1.2.254");
const held = (...addresses: string[]): HeldAddress[] =>
  addresses.map((address) => ({
    address: address.replace("!", ""),
    holder: `h${address}`,
    isLeaked: address.endsWith("!"),
  }));

/** How many cells have each mark. */
function marks({ cells }: RangeMap): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { mark } of cells) counts[mark] = (counts[mark] ?? 0) + 1;
  return counts;
}

describe("a range of 254 addresses", () => {
  const map = mapCells(SMALL, held("10.1.2.2", "10.1.2.3!", "10.9.9.9", "fd00::2"), "10.1.2.4");

  test("has a cell for each address of its subnet", () => {
    expect(map.cells).toHaveLength(256);
    expect(map).toMatchObject({ perCell: "1", size: "254", held: 2, leaked: 1, hidden: 0, isPart: false });
    expect(marks(map)).toEqual({ outside: 2, gateway: 1, held: 1, leaked: 1, next: 1, free: 250 });
    expect(map.cells.slice(0, 5).map(({ first, mark }) => `${first} ${mark}`)).toEqual([
      "10.1.2.0 outside",
      "10.1.2.1 gateway",
      "10.1.2.2 held",
      "10.1.2.3 leaked",
      "10.1.2.4 next",
    ]);
    expect(map.cells[2]?.holders).toEqual(["h10.1.2.2"]);
  });

  test("is JSON as it is", () => {
    expect(JSON.parse(JSON.stringify(map))).toEqual(map);
  });

  test("of which a part is given shows the rest as such", () => {
    const part = mapCells(rangeOf("10.1.2.0/24", "10.1.2.10", "10.1.2.19", "10.1.2.1"), [], null);
    expect(marks(part)).toEqual({ outside: 245, gateway: 1, free: 10 });
  });
});

describe("larger ranges", () => {
  test("of 65,534 addresses have 64 a cell, and each address is in one", () => {
    const addresses = Array.from(
      { length: 300 },
      (_none, index) => `10.2.${1 + (index >> 8)}.${index & 255}`,
    );
    const map = mapCells(rangeOf("10.2.0.0/16", "10.2.0.1", "10.2.255.254"), held(...addresses), "10.2.0.2");
    expect(map.perCell).toBe("64");
    expect(map.cells).toHaveLength(1024);
    expect(map.cells.reduce((sum, cell) => sum + cell.held, 0)).toBe(300);
    expect(map.cells.reduce((sum, { size }) => sum + size, 0)).toBe(65_534 - 1);
    expect(map.cells[0]).toMatchObject({ first: "10.2.0.0", last: "10.2.0.63", mark: "next", size: 62 });
    expect(map.cells[4]).toMatchObject({ mark: "held", held: 64, size: 64 });
  });

  test("with few cells have more addresses in each", () => {
    const map = mapCells(SMALL, held("10.1.2.2"), null, 16);
    expect(map.cells).toHaveLength(16);
    expect(map.perCell).toBe("16");
  });

  test("of IPv6 show the part in use, and count what lies beyond", () => {
    const range = rangeOf("fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff");
    const few = mapCells(range, held("fd00::2"), "fd00::3");
    expect(few.cells).toHaveLength(256);
    expect(few).toMatchObject({ isPart: true, hidden: 0, size: String(2n ** 64n - 1n) });
    expect(few.cells[0]).toMatchObject({ first: "fd00::", mark: "outside" });
    const far = mapCells(range, held("fd00::2", "fd00::1000", "fd00:0:0:0:1::1"), "fd00::1001");
    expect(far).toMatchObject({ perCell: "8", held: 3, hidden: 1 });
    expect(far.cells.length).toBeLessThanOrEqual(1024);
  });
});

test("every address of every range is in one cell, and no cell counts another's", () => {
  for (const [length, most] of [
    [20, 64],
    [22, 1024],
    [25, 1024],
    [28, 8],
    [30, 1024],
  ] as const) {
    const last = 2 ** (32 - length) - 2;
    const end = `10.0.${last >> 8}.${last & 255}`;
    const map = mapCells(rangeOf(`10.0.0.0/${length}`, "10.0.0.1", end), held("10.0.0.1", end), null, most);
    expect(map.cells.length).toBeLessThanOrEqual(Math.max(most, 1));
    expect(map.cells.reduce((sum, cell) => sum + cell.held, 0)).toBe(2);
    // The gateway itself is held here, which nobody else can do: its cell has room for it.
    const room = map.cells.reduce((sum, { size }) => sum + size, 0);
    expect(room === last || room === last - 1).toBe(true);
  }
});
