export { countOf as count } from "../../doctor/some.ts";

/** Columns of a terminal that a text takes, colours apart. */
export function widthOf(text: string): number {
  return Bun.stringWidth(text);
}

/** The text with spaces up to so many columns, on the side that `align` leaves free. */
export function pad(text: string, columns: number, align: "left" | "right" = "left"): string {
  const space = " ".repeat(Math.max(0, columns - widthOf(text)));
  return align === "left" ? text + space : space + text;
}

/**
 * Lines of at most `width` columns (null: one line) that begin with `indent`, broken between words; a word that is longer
 * than a line stays whole, so that a command or a path can be copied. Line breaks in the text are kept.
 */
export function wrap(text: string, width: number | null, indent = ""): string[] {
  return text.split("\n").flatMap((line) => wrapLine(line, width, indent));
}

function wrapLine(text: string, width: number | null, indent: string): string[] {
  if (width === null) return [indent + text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && widthOf(indent) + widthOf(longer) > width) {
      lines.push(indent + line);
      line = word;
    } else line = longer;
  }
  return [...lines, indent + line];
}

/** A span of time in the two largest units that matter: `850 ms`, `4 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`. */
export function formatSpan(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return both(minutes, "min", seconds % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return both(hours, "h", minutes % 60, "min");
  return both(Math.floor(hours / 24), "d", hours % 24, "h");
}

function both(large: number, unit: string, small: number, smaller: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`;
}
