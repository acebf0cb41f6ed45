import type { Measure } from "../measure.ts";
import { formatNumber } from "./format.ts";
import { colourOf, FAINT, formatSvg, INK, line, text } from "./svg.ts";
import { distinct } from "./tables.ts";

const WIDTH = 860;
const LEAST_LEFT = 290;
/** Points of a letter in any sans-serif font of this size, some. */
const LETTER = 7;
const RIGHT = 90;
const BAR = 16;
const GAP = 14;
const TOP = 62;

/**
 * Bars from zero, a group for each scenario and a bar for each subject: the median, its 95 % interval as a whisker, the
 * 95th percentile of calls as a tick. Empty text when there is nothing to draw.
 */
export function formatBars(title: string, measures: readonly Measure[]): string {
  const [first] = measures;
  if (first === undefined) return "";
  const subjects = distinct(measures, "subject");
  const most = Math.max(...measures.flatMap(({ p95, high }) => [p95, high]));
  const longest = Math.max(...measures.map(({ scenario }) => scenario.length));
  const left = Math.max(LEAST_LEFT, longest * LETTER + 20);
  const x = (value: number) => left + (value / most) * (WIDTH - left - RIGHT);
  const parts = [text(12, 24, title), ...legend(subjects)];
  let y = TOP;
  for (const scenario of distinct(measures, "scenario")) {
    const group = measures.filter((measure) => measure.scenario === scenario);
    parts.push(text(left - 10, y + (group.length * BAR) / 2 + 4, scenario, INK, "end"));
    for (const { subject, median, low, high, p95 } of group) {
      const middle = y + BAR / 2 - 1;
      const colour = colourOf(subjects.indexOf(subject));
      parts.push(
        `<rect x="${left}" y="${y}" width="${Math.max(1, x(median) - left).toFixed(1)}" height="${BAR - 2}" fill="${colour}"/>`,
        line(x(low), middle, x(high), middle, INK, 1.5),
        line(x(p95), y + 1, x(p95), y + BAR - 3, colour, 2),
        text(x(Math.max(p95, high)) + 6, middle + 4, `${formatNumber(median)} ${first.unit}`, FAINT),
      );
      y += BAR;
    }
    y += GAP;
  }
  return formatSvg(WIDTH, y + 24, [
    ...parts,
    line(left, TOP - 6, left, y - GAP + 4, FAINT),
    text(left, y + 10, "bar: median; whisker: its 95 % interval; tick: 95th percentile of calls", FAINT),
  ]);
}

function legend(subjects: readonly string[]): string[] {
  let x = 12;
  return subjects.flatMap((subject, index) => {
    const at = x;
    x += 30 + subject.length * LETTER;
    return [
      `<rect x="${at}" y="36" width="12" height="12" fill="${colourOf(index)}"/>`,
      text(at + 17, 47, subject, FAINT),
    ];
  });
}
