import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { createMapRouteDiff } from "../../../src/entry/bench/routes/map.ts";
import { createTwinRouteDiff } from "../../../src/entry/bench/routes/twin.ts";
import { ROUTE_WORDS, RouteTable } from "../../../src/plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../../src/plan/step.ts";
import { createRouteDiff } from "../../../src/wasm/routes.ts";
import { desiredRoutes, observedRoutes, pairsOf, tableOf } from "../../twin/routes.ts";

/** Many cases on a machine that may be busy with others. */
setDefaultTimeout(60_000);

/** A desired and an observed table that have to do with each other. */
const tables = desiredRoutes.chain((desired) => fc.tuple(fc.constant(desired), observedRoutes(desired)));

/** Records of any bits: what a parser's mistake would hand in. */
const rawTable = fc.array(fc.array(fc.constantFrom(0, 1, 157, 0x80000000, 0xffffffff), { maxLength: 16 }), {
  maxLength: 40,
});

function rawTableOf(records: readonly (readonly number[])[]): RouteTable {
  const table = new RouteTable(records.length);
  for (const record of records) table.room.set(record, table.add());
  return table;
}

describe("WASM route diff against its twin and the oracle", () => {
  test("any sequence of tables is answered the same by one engine of each", () => {
    fc.assert(
      fc.property(fc.array(tables, { maxLength: 4 }), (sequence) => {
        const engines = [createRouteDiff(), createTwinRouteDiff(), createMapRouteDiff()];
        for (const [desired, observed] of sequence) {
          const wanted = tableOf(...desired);
          const there = tableOf(...observed);
          const [wasm, twin, oracle] = engines.map((engine) => pairsOf(engine.diff(wanted, there)));
          expect(wasm).toEqual(oracle);
          expect(twin).toEqual(oracle);
        }
      }),
      { numRuns: 600 },
    );
  });

  test("records of any bits are answered the same", () => {
    fc.assert(
      fc.property(rawTable, rawTable, (desired, observed) => {
        const keys = new Set<string>();
        const once = desired.filter((record) => {
          const key = Array.from({ length: 5 }, (_, index) => record[index] ?? 0).join();
          return !keys.has(key) && keys.add(key);
        });
        const wanted = rawTableOf(once);
        const there = rawTableOf([...observed, ...once.slice(0, observed.length)]);
        const oracle = pairsOf(createMapRouteDiff().diff(wanted, there));
        expect(pairsOf(createRouteDiff().diff(wanted, there))).toEqual(oracle);
        expect(pairsOf(createTwinRouteDiff().diff(wanted, there))).toEqual(oracle);
      }),
      { numRuns: 400 },
    );
  });

  test("thousands of neighbouring networks with a shuffled, damaged copy are answered the same", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1000, max: 9000 }),
        fc.integer(),
        fc.integer({ min: 1, max: 50 }),
        (count, seed, damage) => {
          const words = new Uint32Array(ROUTE_WORDS);
          const wanted = new RouteTable(count);
          for (let index = 0; index < count; index++) {
            words.fill(0);
            words.set(
              index % 2 === 0
                ? [10 | (index << 8), 0, 0, 0, 0x1804, 0]
                : [0xfd, index << 16, 0, 0, 0x4006, 1024],
            );
            words.set([index * 7, 0, 0, 0, 2, 0x101, ROUTE_PROTOCOL], 6);
            wanted.room.set(words, wanted.add());
          }
          const there = new RouteTable(count);
          for (let index = 0; index < count; index++) {
            const from = ((index * 7919 + (seed >>> 1)) % count) * ROUTE_WORDS;
            const at = there.add();
            there.room.set(wanted.words.subarray(from, from + ROUTE_WORDS), at);
            // One word of every so many records is another.
            const hit = at + ((index >>> 3) % 13);
            if (index % damage === 0) there.room[hit] = ((there.room[hit] ?? 0) ^ 1) >>> 0;
          }
          const oracle = pairsOf(createMapRouteDiff().diff(wanted, there));
          expect(pairsOf(createRouteDiff().diff(wanted, there))).toEqual(oracle);
          expect(pairsOf(createTwinRouteDiff().diff(wanted, there))).toEqual(oracle);
        },
      ),
      { numRuns: 12 },
    );
  });
});
