import type { MapCell, RangeMap } from "./cells.ts";
import { describeFigures } from "./map-text.ts";
import type { NetworkMap } from "./maps.ts";

/** Pixels. */
const CELL = 12;
const GAP = 2;
const STEP = CELL + GAP;
const LETTER = 7.4;
const MARGIN = 16;
const LINE = 20;
const PER_ROW = 64;

/** Shapes as well as colours tell the marks apart. */
const STYLE = `
svg { color-scheme: light dark; background: #fff; font: 12px ui-monospace, monospace }
.cross { stroke: #fff; stroke-width: 2 } text { fill: #1f2328 } .dim { fill: #656d76 } .name { font-weight: bold; font-size: 14px }
.free { fill: #e6eaef } .held { fill: #1a7f37 } .leaked { fill: #cf222e } .gateway { fill: #8250df } .next { fill: #fff; stroke: #bf8700; stroke-width: 2 } .outside { fill: none; stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117 } text { fill: #e6edf3 } .dim { fill: #8d96a0 }
.free { fill: #262c36 } .held { fill: #2ea043 } .leaked { fill: #f85149 } .gateway { fill: #a371f7 } .next { fill: #0d1117; stroke: #d29922 } .outside { stroke: #30363d }
}
`;
const LEGEND = [
  ["held", "held"],
  ["free", "free"],
  ["leaked", "held, and something is wrong"],
  ["gateway", "gateway"],
  ["next", "given next"],
  ["outside", "never given"],
] as const;

/** The maps as one picture that needs nothing else: light or dark as its reader is, with a tooltip for each cell. */
export function drawMaps(maps: readonly NetworkMap[], takenAt: string): string {
  const firsts = maps.flatMap(({ ranges }) => ranges.flatMap(({ cells }) => cells.map(({ first }) => first)));
  const label = Math.ceil(firsts.reduce((most, first) => Math.max(most, first.length), 0) * LETTER) + MARGIN;
  const width = MARGIN * 2 + label + PER_ROW * STEP;
  const parts: string[] = [];
  let y = MARGIN;
  for (const { network, ranges, held, store } of maps) {
    if (ranges.length === 0) {
      parts.push(textAt(MARGIN, y + 14, "name", network));
      parts.push(textAt(MARGIN, y + 14 + LINE, "dim", `${held} held in ${store}; its ranges are not known`));
      y += LINE * 3;
    }
    for (const range of ranges) {
      parts.push(...drawRange(network, range, y, label));
      y += LINE * 2 + Math.ceil(range.cells.length / PER_ROW) * STEP + LINE;
    }
  }
  parts.push(...drawLegend(y));
  y += LINE * 2;
  parts.push(textAt(MARGIN, y, "dim", `minicni ipam map, ${takenAt}`));
  const height = y + MARGIN;
  const title = `Addresses of ${maps.map(({ network }) => network).join(", ") || "no network"}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function drawRange(network: string, range: RangeMap, top: number, label: number): string[] {
  const first = top + LINE * 2;
  const rows = Math.ceil(range.cells.length / PER_ROW);
  const labels = Array.from({ length: rows }, (_none, row) =>
    textAt(MARGIN, first + row * STEP + CELL - 2, "dim", range.cells[row * PER_ROW]?.first ?? ""),
  );
  return [
    textAt(MARGIN, top + 14, "name", `${network} ${range.range}`),
    textAt(MARGIN, top + 14 + LINE, "dim", describeFigures(range)),
    ...labels,
    ...range.cells.map((cell, index) => {
      const x = MARGIN + label + (index % PER_ROW) * STEP;
      return drawCell(cell, x, first + Math.floor(index / PER_ROW) * STEP);
    }),
  ];
}

function drawCell(cell: MapCell, x: number, y: number): string {
  const { mark, held, size, first, last } = cell;
  // A part that is held is told by how much of the cell is filled, from below.
  const isPartly = mark === "held" && first !== last && held < size;
  const filled = isPartly ? Math.max(2, Math.round((CELL * held) / size)) : CELL;
  const back = isPartly ? `<rect class="free" x="${x}" y="${y}" width="${CELL}" height="${CELL}"/>` : "";
  const round = mark === "gateway" ? ` rx="${CELL / 2}"` : "";
  const cross = mark === "leaked" ? crossAt(x, y) : "";
  return `<g><title>${escapeXml(tooltip(cell))}</title>${back}<rect class="${mark}" x="${x}" y="${y + CELL - filled}" width="${CELL}" height="${filled}"${round}/>${cross}</g>`;
}

/** Who sees red and green alike sees this. */
function crossAt(x: number, y: number): string {
  const [near, far] = [3, CELL - 3];
  return `<path class="cross" d="M${x + near} ${y + near}L${x + far} ${y + far}M${x + far} ${y + near}L${x + near} ${y + far}"/>`;
}

function tooltip({ first, last, mark, held, size, holders }: MapCell): string {
  const place = first === last ? first : `${first} to ${last}: ${held} of ${size} held`;
  const what = mark === "next" ? "given next" : mark === "outside" ? "never given" : mark;
  const more = held > holders.length ? [`and ${held - holders.length} more`] : [];
  return [place, ...(holders.length > 0 ? [...holders, ...more] : [what])].join("\n");
}

function drawLegend(y: number): string[] {
  let x = MARGIN;
  return LEGEND.flatMap(([mark, word]) => {
    const at = x;
    x += STEP * 2 + word.length * 8;
    const round = mark === "gateway" ? ` rx="${CELL / 2}"` : "";
    return [
      `<rect class="${mark}" x="${at}" y="${y}" width="${CELL}" height="${CELL}"${round}/>${mark === "leaked" ? crossAt(at, y) : ""}`,
      textAt(at + STEP + 2, y + CELL - 2, "dim", word),
    ];
  });
}

function textAt(x: number, y: number, kind: string, words: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escapeXml(words)}</text>`;
}

/** For text and attributes; control characters are no XML at all (XML 1.0 §2.2). */
function escapeXml(words: string): string {
  return Array.from(words, (char) => {
    const code = char.codePointAt(0) ?? 0;
    if (code < 32 && char !== "\n") return "?";
    return { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[char] ?? char;
  }).join("");
}
