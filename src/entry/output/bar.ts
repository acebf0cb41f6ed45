/** Eighths of a block, from left to right (U+2588 and its neighbours). */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** How much of a whole is used, as a picture of `columns` characters; what is used at all shows, and what is left. */
export function formatBar(used: number, total: number, columns: number): string {
  const whole = columns * 8;
  const share = total === 0 ? 0 : Math.round((Math.min(used, total) / total) * whole);
  const eighths = used > 0 ? Math.max(1, used < total ? Math.min(share, whole - 1) : share) : 0;
  const text = "█".repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? "");
  return text + "░".repeat(columns - text.length);
}

/** `0 %`, `<1 %`, `37 %`, `>99 %`, `100 %`: nothing that is used reads as none, and nothing that is free as full. */
export function formatShare(used: number, total: number): string {
  if (total === 0 || used === 0) return "0 %";
  if (used >= total) return "100 %";
  const percent = Math.round((used / total) * 100);
  return percent === 0 ? "<1 %" : percent === 100 ? ">99 %" : `${percent} %`;
}
