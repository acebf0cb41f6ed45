import { describe, expect, test } from "bun:test";
import { formatBar, formatShare } from "../../../../src/entry/output/bar.ts";
import { createPaint } from "../../../../src/entry/output/paint.ts";
import { formatPairs, formatTable } from "../../../../src/entry/output/table.ts";
import { count, formatSpan, widthOf, wrap } from "../../../../src/entry/output/text.ts";

const paint = createPaint(false);
const COLUMNS = [{ title: "node" }, { title: "routes", align: "right" }, { title: "fault" }] as const;
const ROWS = [
  ["n1", "4", ""],
  ["long-name", "12", "its InternalIP 10.9.0.2 is unreachable"],
];

describe("a table", () => {
  test("has its cells under each other, numbers to the right, no space at the end", () => {
    expect(formatTable(COLUMNS, ROWS, { width: null, paint })).toEqual([
      "node       routes  fault",
      "n1              4",
      "long-name      12  its InternalIP 10.9.0.2 is unreachable",
    ]);
  });

  test("that does not fit becomes blocks, and nothing of it is cut off", () => {
    expect(formatTable(COLUMNS, ROWS, { width: 40, paint })).toEqual([
      "n1",
      "  routes: 4",
      "long-name",
      "  routes: 12",
      "  fault: its InternalIP 10.9.0.2 is",
      "  unreachable",
    ]);
  });

  test("is as wide with colours as without", () => {
    const coloured = createPaint(true);
    const rows = ROWS.map(([first = "", ...rest]) => [coloured.bad(first), ...rest]);
    const widths = (lines: string[]) => lines.map(widthOf);
    expect(widths(formatTable(COLUMNS, rows, { width: null, paint: coloured }))).toEqual(
      widths(formatTable(COLUMNS, ROWS, { width: null, paint })),
    );
  });

  test("without rows is its titles", () => {
    expect(formatTable(COLUMNS, [], { width: null, paint })).toEqual(["node  routes  fault"]);
  });
});

test("pairs stand under each other, and long values go on under themselves", () => {
  const pairs = [
    ["agent", "running"],
    ["gone", null],
    ["last repair", "route 10.244.2.0/24 via 10.9.0.2"],
  ] as const;
  expect(formatPairs(pairs, { width: 34, paint })).toEqual([
    "agent        running",
    "last repair  route 10.244.2.0/24",
    "             via 10.9.0.2",
  ]);
});

describe("wrap", () => {
  test("leaves a word that is longer than a line whole", () => {
    expect(wrap("run sysctl -w net.ipv4.ip_forward=1 now", 12, "  ")).toEqual([
      "  run sysctl",
      "  -w",
      "  net.ipv4.ip_forward=1",
      "  now",
    ]);
  });

  test("keeps line breaks, and breaks nothing without a width", () => {
    expect(wrap("a b\nc", null, "- ")).toEqual(["- a b", "- c"]);
  });
});

describe("a bar", () => {
  test.each([
    [0, 10, "░░░░"],
    [1, 1000, "▏░░░"],
    [5, 10, "██░░"],
    [999, 1000, "███▉"],
    [10, 10, "████"],
    [20, 10, "████"],
    [0, 0, "░░░░"],
  ])("of %d of %d", (used, total, bar) => {
    expect(formatBar(used, total, 4)).toBe(bar);
  });

  test.each([
    [0, 0, "0 %"],
    [0, 9, "0 %"],
    [1, 1000, "<1 %"],
    [37, 100, "37 %"],
    [999, 1000, ">99 %"],
    [1000, 1000, "100 %"],
  ])("%d of %d in words", (used, total, share) => {
    expect(formatShare(used, total)).toBe(share);
  });
});

test.each([
  [-5, "0 ms"],
  [850, "850 ms"],
  [4_000, "4 s"],
  [60_000, "1 min"],
  [200_000, "3 min 20 s"],
  [7_500_000, "2 h 5 min"],
  [356_400_000, "4 d 3 h"],
])("%d ms is %p", (milliseconds, text) => {
  expect(formatSpan(milliseconds)).toBe(text);
});

test("one is one, and more are many", () => {
  expect([count(1, "route"), count(2, "route"), count(0, "entry", "entries")]).toEqual([
    "1 route",
    "2 routes",
    "0 entries",
  ]);
});
