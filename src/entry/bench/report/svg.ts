/** Colours of subjects, in their order: told apart by people who see no red or green as well (Okabe and Ito, 2008). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"] as const;
export const INK = "#222";
export const FAINT = "#777";
const GRID = "#e4e4e4";

/** The colour of subject number `index`. */
export function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length] ?? INK;
}

/** A picture of that size on white, in the reader's own sans-serif font. */
export function formatSvg(width: number, height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** Text whose start, middle or end is at x. */
export function text(
  x: number,
  y: number,
  content: string,
  fill: string = INK,
  anchor: "start" | "middle" | "end" = "start",
): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${fill}" text-anchor="${anchor}">${escaped}</text>`;
}

/** A straight line. */
export function line(x1: number, y1: number, x2: number, y2: number, stroke = GRID, width = 1): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${stroke}" stroke-width="${width}"/>`;
}

/** Maps values to places, by their logarithm. */
export function logScale(
  from: readonly [number, number],
  to: readonly [number, number],
): (value: number) => number {
  const low = Math.log10(from[0]);
  const span = Math.log10(from[1]) - low || 1;
  return (value) => to[0] + ((Math.log10(value) - low) / span) * (to[1] - to[0]);
}

/** The powers of ten between two positive values. */
export function decades(least: number, most: number): number[] {
  const low = Math.ceil(Math.log10(least) - 1e-9);
  const high = Math.floor(Math.log10(most) + 1e-9);
  return Array.from({ length: Math.max(0, high - low + 1) }, (_, index) => 10 ** (low + index));
}
