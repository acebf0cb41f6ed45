import { isStable, LEAST_TURNS, type Measure, type Ratio, spreadOf } from "../measure.ts";

/** Three digits that count, thousands apart; an empty text for no number. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size >= 10) return value.toFixed(1);
  // 0.999 is not "1.0", which would be one digit less than its neighbours have.
  return size >= 0.995 || value === 0 ? value.toFixed(2) : value.toPrecision(2);
}

/** A ratio with its interval, which few turns have none of: "2.31× (2.25–2.40)". */
export function formatRatio({ ratio, low, high }: Omit<Ratio, "to">, { turns }: Measure): string {
  const value = `${formatNumber(ratio)}×`;
  return turns < LEAST_TURNS ? value : `${value} (${formatNumber(low)}–${formatNumber(high)})`;
}

/** Half the interval in percent, as far as there is one; a "≈" marks a median that is not known to ± 5 %. */
export function formatSpread(measure: Measure): string {
  if (measure.turns < LEAST_TURNS) return "≈";
  return `${formatNumber(spreadOf(measure) * 100)}${isStable(measure) ? "" : " ≈"}`;
}

/** A table in Markdown; columns of `texts` are left-aligned, the others hold numbers. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  texts: number,
): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((cells) => (cells[column] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${widths
      .map((width, column) => {
        const cell = cells[column] ?? "";
        return column < texts ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (column < texts ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}
