import type { DiffRow } from "./measure-diff.ts";

const WIDTH = 720;
const HEIGHT = 420;
const MARGIN = { left: 70, right: 170, top: 40, bottom: 50 };
const SERIES = [
  { key: "map", label: "Map of strings", colour: "#b5472f" },
  { key: "twin", label: "typed arrays", colour: "#8a6d1f" },
  { key: "wasm", label: "WebAssembly", colour: "#1f6f8b" },
] as const;

/**
 * How one case grows with the number of routes, as an SVG: both axes logarithmic, so that linear growth is a straight
 * line that rises as the dashed one does. Empty text when there is nothing to draw.
 */
export function formatCurve(rows: readonly DiffRow[], name: string): string {
  const points = rows.filter((row) => row.name === name);
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined) return "";
  const all = points.flatMap((row) => SERIES.map(({ key }) => row[key].medianUs));
  const x = scale(
    [first.routes, Math.max(last.routes, first.routes * 10)],
    [MARGIN.left, WIDTH - MARGIN.right],
  );
  const y = scale([Math.min(...all), Math.max(...all)], [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const line = (values: readonly (readonly [number, number])[]) =>
    values.map(([routes, us]) => `${x(routes).toFixed(1)},${y(us).toFixed(1)}`).join(" ");
  const linear = [first, last].map(
    ({ routes }) => [routes, (first.wasm.medianUs * routes) / first.routes] as const,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(MARGIN.left, 22, `Route diff, ${name}: median of a call by number of routes`, "#222"),
    ...points.map(({ routes }) => text(x(routes) - 16, HEIGHT - 28, routes.toLocaleString("en"), "#555")),
    ...decades(all).map((us) => text(8, y(us) + 4, us >= 1000 ? `${us / 1000} ms` : `${us} µs`, "#555")),
    ...decades(all).map((us) => rule(y(us))),
    `<polyline points="${line(linear)}" fill="none" stroke="#999" stroke-dasharray="5 4"/>`,
    ...SERIES.map(({ key, colour }) => {
      const path = line(points.map((row) => [row.routes, row[key].medianUs] as const));
      return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5"/>`;
    }),
    ...SERIES.map(({ key, label, colour }) =>
      text(x(last.routes) + 10, y(last[key].medianUs) + 4, label, colour),
    ),
    text(x(last.routes) + 10, y(linear[1]?.[1] ?? 1) + 18, "linear (dashed)", "#777"),
    "</svg>",
    "",
  ].join("\n");
}

function scale(from: readonly [number, number], to: readonly [number, number]): (value: number) => number {
  const low = Math.log10(from[0]);
  const span = Math.log10(from[1]) - low || 1;
  return (value) => to[0] + ((Math.log10(value) - low) / span) * (to[1] - to[0]);
}

/** The powers of ten between the least and the largest value. */
function decades(values: readonly number[]): number[] {
  const low = Math.ceil(Math.log10(Math.min(...values)));
  const high = Math.floor(Math.log10(Math.max(...values)));
  return Array.from({ length: Math.max(0, high - low + 1) }, (_, index) => 10 ** (low + index));
}

function rule(y: number): string {
  return `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="#e4e4e4"/>`;
}

function text(x: number, y: number, content: string, fill: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${fill}">${content}</text>`;
}
