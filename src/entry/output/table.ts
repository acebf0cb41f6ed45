import type { Screen } from "./screen.ts";
import { pad, widthOf, wrap } from "./text.ts";

/** One column of a table. */
export interface Column {
  readonly title: string;
  /** Numbers stand to the right. Default left. */
  readonly align?: "left" | "right";
}

const GAP = "  ";

/**
 * Lines of an aligned table with its titles. Where the screen is too narrow for it each row becomes a block of
 * `title: value` lines, so that nothing is cut off; empty cells are left out there. Cells may be painted.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width, paint }: Pick<Screen, "width" | "paint">,
): string[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(widthOf(title), ...rows.map((row) => widthOf(row[index] ?? ""))),
  );
  const total = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (columns.length - 1);
  if (width !== null && total > width)
    return rows.flatMap((row) => formatBlock(columns, row, { width, paint }));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align))
      .join(GAP)
      .trimEnd();
  return [paint.bold(line(columns.map(({ title }) => title))), ...rows.map(line)];
}

function formatBlock(
  columns: readonly Column[],
  row: readonly string[],
  { width, paint }: Pick<Screen, "width" | "paint">,
): string[] {
  const [first = "", ...rest] = row;
  return [
    ...wrap(paint.bold(first), width),
    ...rest.flatMap((cell, index) =>
      cell === "" ? [] : wrap(`${columns[index + 1]?.title ?? ""}: ${cell}`, width, GAP),
    ),
  ];
}

/** Lines `name  value`, the values under each other and broken at the screen's edge; rows of null are left out. */
export function formatPairs(
  pairs: readonly (readonly [name: string, value: string | null])[],
  { width, paint }: Pick<Screen, "width" | "paint">,
): string[] {
  const shown = pairs.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  const column = Math.max(0, ...shown.map(([name]) => widthOf(name))) + GAP.length;
  const hanging = " ".repeat(column);
  return shown.flatMap(([name, value]) => {
    const [first = "", ...more] = wrap(value, width, hanging);
    return [paint.dim(pad(name, column)) + first.slice(column), ...more];
  });
}
