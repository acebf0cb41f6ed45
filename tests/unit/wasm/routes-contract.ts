import { describe, expect, test } from "bun:test";
import { MAX_ROUTES, type RouteDiffFactory } from "../../../src/plan/route-changes.ts";
import { ROUTE_WORDS, RouteTable, type TableRoute, WORD } from "../../../src/plan/route-table.ts";
import { ROUTE_PROTOCOL } from "../../../src/plan/step.ts";
import { pairsOf, route, tableOf } from "../../twin/routes.ts";

const FOUR = route("10.1.1.0/24", "192.168.0.1");
const SIX = route("fd00:1::/64", "fd01::1");
const NOTHING = { upserts: [], deletions: [], conflicts: [] };

/** `count` routes to different destinations, both families in turn. */
function manyRoutes(count: number): RouteTable {
  const table = new RouteTable(count);
  const { room } = table;
  for (let index = 0; index < count; index++) {
    const at = table.add();
    const is6 = index % 2 === 1;
    room[at + WORD.dst] = is6 ? 0xfd : 10 | (index << 8);
    room[at + WORD.dst + 1] = is6 ? index : 0;
    room[at + WORD.prefix] = is6 ? 6 | (64 << 8) : 4 | (32 << 8);
    room[at + WORD.via] = index + 1;
    room[at + WORD.ifindex] = 2;
    room[at + WORD.flags] = 1 | (1 << 8);
    room[at + WORD.protocol] = ROUTE_PROTOCOL;
  }
  return table;
}

/** Registers the example cases of what RouteChanges and RouteDiffEngine say for the engines that `create` makes. */
export function describeRouteDiffContract(name: string, create: RouteDiffFactory): void {
  const diff = (desired: readonly TableRoute[], observed: readonly TableRoute[]) =>
    pairsOf(create().diff(tableOf(...desired), tableOf(...observed)));

  describe(`${name}: routes of ours`, () => {
    test("equal tables have no difference, in any order", () => {
      expect(diff([], [])).toEqual(NOTHING);
      expect(diff([FOUR, SIX], [SIX, FOUR])).toEqual(NOTHING);
    });

    test("what is missing is added, in desired order", () => {
      expect(diff([FOUR, SIX], [])).toEqual({
        ...NOTHING,
        upserts: [
          [0, -1],
          [1, -1],
        ],
      });
    });

    test("what nobody wants is deleted, in observed order", () => {
      expect(diff([], [SIX, FOUR])).toEqual({
        ...NOTHING,
        deletions: [
          [0, -1],
          [1, -1],
        ],
      });
    });

    test.each([
      ["gateway", { via: route("10.0.0.0/8", "192.168.0.9").via }],
      ["link", { ifindex: 3 }],
      ["onlink flag", { isOnlink: true }],
      ["type", { type: 6 }],
    ])("one with another %s is replaced", (_what, change) => {
      expect(diff([FOUR], [{ ...FOUR, ...change }])).toEqual({ ...NOTHING, upserts: [[0, 0]] });
    });

    test("one whose gateway differs in its last word only is replaced", () => {
      expect(diff([SIX], [route("fd00:1::/64", "fd01::2")])).toEqual({ ...NOTHING, upserts: [[0, 0]] });
    });

    test("one without a gateway is not one by way of the address 0", () => {
      expect(diff([route("10.1.1.0/24", null)], [route("10.1.1.0/24", "0.0.0.0")])).toEqual({
        ...NOTHING,
        upserts: [[0, 0]],
      });
    });

    test("a destination is address, length and family", () => {
      const wide = route("10.1.0.0/16", "192.168.0.1");
      const narrow = route("10.1.0.0/24", "192.168.0.1");
      const default4 = route("0.0.0.0/0", "192.168.0.1");
      const default6 = route("::/0", "fd01::1");
      for (const [wanted, other] of [
        [wide, narrow],
        [default4, default6],
      ] as const) {
        expect(diff([wanted], [other])).toEqual({ ...NOTHING, upserts: [[0, -1]], deletions: [[0, -1]] });
      }
    });

    test("another metric is another route: the wanted one is added, the other deleted", () => {
      expect(diff([FOUR], [{ ...FOUR, metric: 100 }])).toEqual({
        ...NOTHING,
        upserts: [[0, -1]],
        deletions: [[0, 0]],
      });
    });

    test("of several with one key the equal one stays, wherever it stands", () => {
      const other = { ...FOUR, ifindex: 3 };
      expect(diff([FOUR], [other, FOUR, other])).toEqual({
        ...NOTHING,
        deletions: [
          [0, 0],
          [2, 0],
        ],
      });
    });

    test("of several with one key and none equal the first is replaced, as the kernel does it", () => {
      expect(
        diff(
          [FOUR],
          [3, 4, 5].map((ifindex) => ({ ...FOUR, ifindex })),
        ),
      ).toEqual({
        ...NOTHING,
        upserts: [[0, 0]],
        deletions: [
          [1, 0],
          [2, 0],
        ],
      });
    });

    test("of two equal ones the first stays", () => {
      expect(diff([FOUR], [FOUR, FOUR])).toEqual({ ...NOTHING, deletions: [[1, 0]] });
    });
  });

  describe(`${name}: foreign routes`, () => {
    const foreign = { ...FOUR, protocol: 80, ifindex: 9 };

    test("one that nobody is in the way of is left alone", () => {
      expect(diff([SIX], [SIX, foreign])).toEqual(NOTHING);
    });

    test.each([
      ["the same", null],
      ["another", 300],
    ])("one with %s metric is in the way", (_which, metric) => {
      expect(diff([SIX, FOUR], [{ ...foreign, metric }])).toEqual({
        upserts: [[0, -1]],
        deletions: [],
        conflicts: [[1, 0]],
      });
    });

    test("one that is equal but for its protocol is in the way", () => {
      expect(diff([FOUR], [{ ...FOUR, protocol: 4 }])).toEqual({ ...NOTHING, conflicts: [[0, 0]] });
    });

    test("the first of several is told", () => {
      expect(diff([FOUR], [foreign, { ...foreign, protocol: 4 }])).toEqual({
        ...NOTHING,
        conflicts: [[0, 0]],
      });
    });

    test.each([
      ["before", [foreign, FOUR], 0],
      ["behind", [FOUR, foreign], 1],
    ] as const)(
      "one that stands %s a working route of ours is told, and ours stays",
      (_where, observed, at) => {
        expect(diff([FOUR], observed)).toEqual({ ...NOTHING, conflicts: [[0, at]] });
      },
    );

    test("a route of ours beside it that leads elsewhere is deleted, not replaced", () => {
      expect(diff([FOUR], [{ ...FOUR, ifindex: 3 }, foreign])).toEqual({
        ...NOTHING,
        deletions: [[0, 0]],
        conflicts: [[0, 1]],
      });
    });
  });

  describe(`${name}: tables between calls`, () => {
    test("one engine answers for each pair of tables as a fresh one does", () => {
      const engine = create();
      const small = tableOf(FOUR, SIX);
      const large = manyRoutes(3000);
      const steps = [
        [small, small],
        [large, small],
        [large, large],
        [small, large],
        [small, tableOf()],
        [tableOf(), small],
        [small, tableOf({ ...FOUR, protocol: 3 }, { ...SIX, ifindex: 7 })],
        [small, small],
      ] as const;
      for (const [desired, observed] of steps) {
        expect(pairsOf(engine.diff(desired, observed))).toEqual(pairsOf(create().diff(desired, observed)));
      }
    });

    test("a desired table that has grown is taken over again", () => {
      const engine = create();
      const desired = tableOf(FOUR);
      engine.diff(desired, tableOf());
      desired.push(SIX);
      expect(pairsOf(engine.diff(desired, tableOf(FOUR)))).toEqual({ ...NOTHING, upserts: [[1, -1]] });
    });

    test("two engines share nothing", () => {
      const [first, second] = [create(), create()];
      first.diff(tableOf(FOUR), tableOf());
      expect(pairsOf(second.diff(tableOf(), tableOf(FOUR)))).toEqual({ ...NOTHING, deletions: [[0, -1]] });
    });

    test("a destination that is desired twice is a RangeError, and the engine goes on", () => {
      const engine = create();
      const twice = tableOf(FOUR, SIX, { ...FOUR, metric: 7 });
      expect(() => engine.diff(twice, tableOf())).toThrow(RangeError);
      expect(() => engine.diff(twice, tableOf())).toThrow(RangeError);
      expect(pairsOf(engine.diff(tableOf(SIX), tableOf(SIX)))).toEqual(NOTHING);
    });

    test("word and table borders hold", () => {
      for (const count of [63, 64, 65, 1023, 1024, 1025, 2048, 2049]) {
        const engine = create();
        const desired = manyRoutes(count);
        expect(pairsOf(engine.diff(desired, manyRoutes(count)))).toEqual(NOTHING);
        const short = manyRoutes(count - 1);
        expect(pairsOf(engine.diff(desired, short))).toEqual({ ...NOTHING, upserts: [[count - 1, -1]] });
        expect(pairsOf(engine.diff(short, desired))).toEqual({ ...NOTHING, deletions: [[count - 1, -1]] });
      }
    });

    test("the largest tables work to the last record, larger ones are a RangeError", () => {
      const engine = create();
      const largest = manyRoutes(MAX_ROUTES);
      expect(pairsOf(engine.diff(largest, largest))).toEqual(NOTHING);
      const changed = manyRoutes(MAX_ROUTES);
      changed.room[(MAX_ROUTES - 1) * ROUTE_WORDS + WORD.ifindex] = 3;
      expect(pairsOf(engine.diff(largest, changed))).toEqual({
        ...NOTHING,
        upserts: [[MAX_ROUTES - 1, MAX_ROUTES - 1]],
      });
      largest.add();
      expect(() => engine.diff(largest, changed)).toThrow(RangeError);
      expect(() => engine.diff(changed, largest)).toThrow(RangeError);
      expect(engine.diff(changed, changed).upserts).toHaveLength(0);
    });
  });
}
