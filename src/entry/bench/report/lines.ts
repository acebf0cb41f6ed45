import { formatNumber } from "./format.ts";
import { colourOf, decades, FAINT, formatSvg, line, logScale, text } from "./svg.ts";

/** One line of a chart: its points by x label, values positive. */
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: string; readonly y: number }[];
}

const WIDTH = 860;
const HEIGHT = 400;
const MARGIN = { left: 100, right: 260, top: 46, bottom: 44 };

/**
 * Lines over named steps of x, each step as wide as the other, y logarithmic. Empty text when there is nothing to draw.
 */
export function formatLines(title: string, xTitle: string, unit: string, all: readonly Series[]): string {
  const series = all.filter(({ points }) => points.length > 0);
  const labels = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))];
  const values = series.flatMap(({ points }) => points.map(({ y }) => y)).filter((y) => y > 0);
  if (values.length === 0) return "";
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const bottom = HEIGHT - MARGIN.bottom;
  const right = WIDTH - MARGIN.right;
  // Never one value alone: a chart of one height has no scale.
  const y = logScale([least / 1.3, Math.max(most * 1.3, least * 10)], [bottom, MARGIN.top]);
  const step = labels.length > 1 ? (right - MARGIN.left - 40) / (labels.length - 1) : 0;
  const x = (label: string) => MARGIN.left + 20 + labels.indexOf(label) * step;
  const ends = spread(series.map(({ points }) => y(points.at(-1)?.y ?? least)));
  return formatSvg(WIDTH, HEIGHT, [
    text(MARGIN.left, 24, title),
    ...decades(least / 1.3, Math.max(most * 1.3, least * 10)).flatMap((value) => [
      line(MARGIN.left, y(value), right, y(value)),
      text(MARGIN.left - 8, y(value) + 4, `${formatTick(value)} ${unit}`, FAINT, "end"),
    ]),
    ...labels.map((label) => text(x(label), bottom + 18, label, FAINT, "middle")),
    text((MARGIN.left + right) / 2, HEIGHT - 8, xTitle, FAINT, "middle"),
    ...series.flatMap(({ name, points }, index) => {
      const colour = colourOf(index);
      const path = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(" ");
      const last = points.at(-1)?.y ?? 0;
      return [
        `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5"/>`,
        ...points.map(
          (point) =>
            `<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3.5" fill="${colour}"/>`,
        ),
        text(right - 8, (ends[index] ?? 0) + 4, `${name} ${formatNumber(last)}`, colour),
      ];
    }),
  ]);
}

function formatTick(value: number): string {
  return value >= 1 ? value.toLocaleString("en") : String(Number(value.toPrecision(1)));
}

/** Moves places apart where texts of one line each would lie upon each other. */
function spread(places: readonly number[]): number[] {
  const height = 16;
  const order = places.map((_, index) => index).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0));
  const moved = [...places];
  let free = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    moved[index] = Math.max(places[index] ?? 0, free);
    free = (moved[index] ?? 0) + height;
  }
  return moved;
}
