import type { Paint } from "../../output/paint.ts";
import type { Screen } from "../../output/screen.ts";
import { count, pad, wrap } from "../../output/text.ts";
import type { CellMark, MapCell, RangeMap } from "./cells.ts";
import type { NetworkMap } from "./maps.ts";

const INDENT = "  ";
/** Cells of a line: as many as fit, so that lines begin at round addresses. */
const ROWS = [64, 32, 16, 8];

/** What stands for what; cells of several addresses are shaded by the share that is held. */
const GLYPHS: Readonly<Record<CellMark, string>> = {
  held: "█",
  free: "░",
  leaked: "!",
  gateway: "G",
  next: ">",
  outside: "·",
};
const WORDS: readonly (readonly [CellMark, string])[] = [
  ["held", "held"],
  ["free", "free"],
  ["leaked", "wrong (minicni ipam verify)"],
  ["gateway", "gateway"],
  ["next", "given next"],
  ["outside", "never given"],
];

/** Every range as blocks, a line of figures above it and one legend below all. */
export function formatMaps(
  maps: readonly NetworkMap[],
  { width, paint }: Pick<Screen, "width" | "paint">,
): string {
  if (maps.length === 0) return "no network has addresses on this node\n";
  const blocks = maps.flatMap(({ network, ranges, held, store }) =>
    ranges.length === 0
      ? [
          [
            paint.bold(network),
            ...wrap(`${count(held, "reservation")} in ${store}; its ranges are not known`, width, INDENT),
          ],
        ]
      : ranges.map((range) => formatRange(network, range, width, paint)),
  );
  const ranges = maps.flatMap((map) => map.ranges);
  const lines = [...blocks.flatMap((block) => [...block, ""]), ...formatLegend(ranges, width, paint)];
  return `${lines.join("\n").trimEnd()}\n`;
}

function formatRange(network: string, map: RangeMap, width: number | null, paint: Paint): string[] {
  const labels = map.cells.map(({ first }) => first);
  const columnOf = (cells: number) =>
    Math.max(...labels.map((label, index) => (index % cells === 0 ? label.length : 0)));
  const room = (cells: number) =>
    width === null ? cells : width - INDENT.length - columnOf(cells) - INDENT.length;
  const perRow = ROWS.find((cells) => cells <= room(cells)) ?? 8;
  const column = columnOf(perRow);
  const rows: string[] = [];
  for (let start = 0; start < map.cells.length; start += perRow) {
    const row = map.cells.slice(start, start + perRow);
    rows.push(`${INDENT}${paint.dim(pad(labels[start] ?? "", column))}${INDENT}${formatRow(row, paint)}`);
  }
  return [
    ...wrap(`${paint.bold(network)} ${map.range}`, width),
    ...wrap(describeFigures(map), width, INDENT),
    ...rows,
  ];
}

/** `12 held, 1 of them wrong, of 254 of 10.1.2.0/24; next 10.1.2.14`. */
export function describeFigures(map: RangeMap): string {
  const { held, leaked, size, subnet, next, perCell, hidden, isPart } = map;
  return [
    `${held} held${leaked > 0 ? ` (${leaked} wrong)` : ""} of ${shortSize(size)} of ${subnet}`,
    next === null ? "none left to give" : `next ${next}`,
    ...(perCell === "1" ? [] : [`${perCell} addresses a cell`]),
    ...(isPart ? ["only the part in use is shown"] : []),
    ...(hidden > 0 ? [`${hidden} held beyond it`] : []),
  ].join(", ");
}

/** Digits as they are up to a /64's worth of them, which nobody reads: then the power of two. */
function shortSize(size: string): string {
  if (size.length <= 9) return size;
  return `about 2^${(BigInt(size) + 1n).toString(2).length - 1}`;
}

/** Neighbours of one look are painted together. */
function formatRow(cells: readonly MapCell[], paint: Paint): string {
  let text = "";
  let run = "";
  let mark: CellMark | null = null;
  const flush = () => {
    if (mark !== null) text += painterOf(mark, paint)(run);
  };
  for (const cell of cells) {
    if (cell.mark !== mark) {
      flush();
      run = "";
      mark = cell.mark;
    }
    run += glyphOf(cell);
  }
  flush();
  return text;
}

function glyphOf({ mark, held, size, first, last }: MapCell): string {
  if (first === last || mark !== "held") return GLYPHS[mark];
  return held >= size ? "█" : held * 2 > size ? "▓" : "▒";
}

function painterOf(mark: CellMark, paint: Paint): (text: string) => string {
  return {
    held: paint.good,
    free: paint.dim,
    leaked: paint.bad,
    gateway: paint.bold,
    next: paint.warn,
    outside: paint.dim,
  }[mark];
}

function formatLegend(ranges: readonly RangeMap[], width: number | null, paint: Paint): string[] {
  const cells = ranges.flatMap((range) => range.cells);
  const used = new Set(cells.map(({ mark }) => mark));
  const isShaded = ranges.some(({ perCell }) => perCell !== "1");
  const words = WORDS.filter(([mark]) => used.has(mark)).map(
    // No-break spaces: a mark stays with its word.
    ([mark, word]) => `${GLYPHS[mark]}\u00a0${word.replaceAll(" ", "\u00a0")}`,
  );
  const shades = isShaded ? ["▒\u00a0up\u00a0to\u00a0half\u00a0held", "▓\u00a0more", "█\u00a0all"] : [];
  return wrap([...words, ...shades].join("  "), width).map((line) =>
    paint.dim(line.trimEnd().replaceAll("\u00a0", " ")),
  );
}
