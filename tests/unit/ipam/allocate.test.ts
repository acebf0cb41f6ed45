import { describe, expect, test } from "bun:test";
import { allocate, type Ledger } from "../../../src/ipam/allocate.ts";
import { bitmapBytes, type PoolFactory } from "../../../src/ipam/pool.ts";
import { parseRangeSets, type RangeSet, slotsOfSet } from "../../../src/ipam/range.ts";
import { formatAddress } from "../../../src/net/address.ts";
import { formatPrefix } from "../../../src/net/prefix.ts";
import { createWasmPool } from "../../../src/wasm/pool.ts";
import { createMemoryLedger } from "../../twin/ledger.ts";
import { createTwinPool } from "../../twin/pool.ts";
import { address, thrown } from "../../twin/words.ts";

const POOLS: [string, PoolFactory][] = [
  ["plain-TypeScript pool", createTwinPool],
  ["WASM pool", createWasmPool],
];
const V4 = parseRangeSets([[{ subnet: "10.0.0.0/29" }]]);
const DUAL = parseRangeSets([[{ subnet: "10.0.0.0/29" }], [{ subnet: "fd00::/125" }]]);
const FULL_BITMAP = new Uint8Array(bitmapBytes(6)).fill(255);

describe.each(POOLS)("allocate on the %s", (_name, createPool) => {
  const take = (sets: RangeSet[], ledger: Ledger, requested: string[] = []) =>
    allocate(sets, requested.map(address), ledger, createPool).map(({ prefix }) => formatPrefix(prefix));
  const takeMany = (count: number, ledger: Ledger) =>
    Array.from({ length: count }, () => take(V4, ledger)).flat();

  test("gives one address of each set, with its subnet's length and gateway", () => {
    const given = allocate(DUAL, [], createMemoryLedger(), createPool);
    expect(
      given.map((one) => `${formatPrefix(one.prefix)} via ${one.gateway && formatAddress(one.gateway)}`),
    ).toEqual(["10.0.0.2/29 via 10.0.0.1", "fd00::2/125 via fd00::1"]);
  });

  test("goes on behind the last address given, so that a released one rests", () => {
    const ledger = createMemoryLedger(false);
    expect(takeMany(2, ledger)).toEqual(["10.0.0.2/29", "10.0.0.3/29"]);
    ledger.release(address("10.0.0.2"));
    expect(takeMany(4, ledger)).toEqual(["10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29", "10.0.0.2/29"]);
  });

  test("starts at the front when the cursor is not of this set", () => {
    const ledger = createMemoryLedger();
    ledger.cursors.set(0, address("192.168.0.77"));
    expect(take(V4, ledger)).toEqual(["10.0.0.2/29"]);
  });

  test("gives every address once and then says that none is left", () => {
    const ledger = createMemoryLedger();
    expect(new Set(takeMany(5, ledger)).size).toBe(5);
    expect(thrown(() => take(V4, ledger))).toMatchObject({
      name: "AllocationError",
      message: "failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.6",
      isExhausted: true,
    });
    expect(ledger.held.has("10.0.0.1")).toBe(false);
  });

  test("takes the ranges of a set as alternatives, each with its own gateway", () => {
    const sets = parseRangeSets([
      [{ subnet: "10.0.0.0/30" }, { subnet: "10.0.1.0/30", gateway: "10.0.1.2" }],
    ]);
    const ledger = createMemoryLedger();
    expect([...take(sets, ledger), ...take(sets, ledger)]).toEqual(["10.0.0.2/30", "10.0.1.1/30"]);
    expect(thrown(() => take(sets, ledger))).toMatchObject({ isExhausted: true });
  });

  test("never gives the gateway, even where a kept bitmap shows it free", () => {
    const ledger = createMemoryLedger();
    ledger.bitmaps.set(0, new Uint8Array(bitmapBytes(6)));
    expect(takeMany(5, ledger)).not.toContain("10.0.0.1/29");
  });

  test("takes nothing of the first set when the second is exhausted", () => {
    const ledger = createMemoryLedger();
    for (let host = 2; host <= 7; host++) ledger.held.add(`fd00::${host}`);
    const before = [...ledger.held];
    expect(thrown(() => take(DUAL, ledger))).toMatchObject({
      message: "failed to allocate for range 1: no IP addresses available in range set: fd00::1-fd00::7",
    });
    expect([...ledger.held]).toEqual(before);
  });

  test("takes nothing when what it derived can't be kept", () => {
    const ledger = createMemoryLedger();
    const onFullDisk = {
      ...ledger,
      keep: () => {
        throw new Error("ENOSPC");
      },
    };
    expect(thrown(() => take(V4, onFullDisk))).toMatchObject({ message: "ENOSPC" });
    expect(ledger.held.size).toBe(0);
  });

  test("derives a full bitmap again before it gives up", () => {
    const ledger = createMemoryLedger();
    ledger.bitmaps.set(0, FULL_BITMAP);
    ledger.held.add("10.0.0.2");
    expect(take(V4, ledger)).toEqual(["10.0.0.3/29"]);
    expect(ledger.bitmaps.get(0)?.[0]).toBe(0b000111);
  });

  test("passes over an address that a kept bitmap shows free but somebody holds", () => {
    const ledger = createMemoryLedger();
    ledger.bitmaps.set(0, new Uint8Array(bitmapBytes(6)));
    ledger.held.add("10.0.0.2");
    expect(take(V4, ledger)).toEqual(["10.0.0.3/29"]);
  });

  test("distrusts a kept bitmap of another length", () => {
    const ledger = createMemoryLedger();
    ledger.bitmaps.set(0, new Uint8Array(bitmapBytes(6) + 8).fill(255));
    expect(take(V4, ledger)).toEqual(["10.0.0.2/29"]);
  });

  test("gives a requested address, and keeps its bit and the cursor", () => {
    const ledger = createMemoryLedger();
    takeMany(1, ledger);
    expect(take(V4, ledger, ["10.0.0.5"])).toEqual(["10.0.0.5/29"]);
    expect(ledger.bitmaps.get(0)?.[0]).toBe(0b010011);
    expect(takeMany(3, ledger)).toEqual(["10.0.0.6/29", "10.0.0.3/29", "10.0.0.4/29"]);
  });

  test("gives a requested address to its own set and a free one of the other", () => {
    expect(take(DUAL, createMemoryLedger(), ["fd00::7"])).toEqual(["10.0.0.2/29", "fd00::7/125"]);
  });

  test.each([
    [["10.0.0.1"], "failed to allocate for range 0: requested ip 10.0.0.1 is subnet's gateway"],
    [
      ["10.0.0.3"],
      "failed to allocate for range 0: requested IP address 10.0.0.3 is not available in range set 10.0.0.1-10.0.0.6",
    ],
    [["10.9.0.1"], "failed to allocate all requested IPs: 10.9.0.1"],
    [["10.0.0.7"], "failed to allocate all requested IPs: 10.0.0.7"],
    [["10.0.0.4", "10.0.0.5"], "failed to allocate all requested IPs: 10.0.0.5"],
  ])("refuses the request %j and takes nothing", (requested, message) => {
    const ledger = createMemoryLedger();
    ledger.held.add("10.0.0.3");
    expect(thrown(() => take(V4, ledger, requested))).toMatchObject({ message, isExhausted: false });
    expect([...ledger.held]).toEqual(["10.0.0.3"]);
  });

  test("serves a /64 from a window, and takes a request beyond it", () => {
    const sets = parseRangeSets([[{ subnet: "fd00::/64" }]]);
    const ledger = createMemoryLedger();
    expect(take(sets, ledger, ["fd00::dead:beef"])).toEqual(["fd00::dead:beef/64"]);
    expect(take(sets, ledger)).toEqual(["fd00::2/64"]);
    expect(ledger.bitmaps.get(0)?.length).toBe(bitmapBytes(slotsOfSet(sets[0] ?? [])));
  });
});
