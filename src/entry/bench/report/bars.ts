import type { Measure } from "../measure.ts";
import { formatNumber } from "./format.ts";
import { colourOf, FAINT, formatSvg, INK, line, text } from "./svg.ts";
import { distinct } from "./tables.ts";

const WIDTH = 860;
const LEFT = 290;
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
  const x = (value: number) => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const parts = [text(12, 24, title), ...legend(subjects)];
  let y = TOP;
  for (const scenario of distinct(measures, "scenario")) {
    const group = measures.filter((measure) => measure.scenario === scenario);
    parts.push(text(LEFT - 10, y + (group.length * BAR) / 2 + 4, scenario, INK, "end"));
    for (const { subject, median, low, high, p95 } of group) {
      const middle = y + BAR / 2 - 1;
      const colour = colourOf(subjects.indexOf(subject));
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${Math.max(1, x(median) - LEFT).toFixed(1)}" height="${BAR - 2}" fill="${colour}"/>`,
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
    line(LEFT, TOP - 6, LEFT, y - GAP + 4, FAINT),
    text(LEFT, y + 10, "bar: median; whisker: its 95 % interval; tick: 95th percentile of calls", FAINT),
  ]);
}

function legend(subjects: readonly string[]): string[] {
  let x = 12;
  return subjects.flatMap((subject, index) => {
    const at = x;
    // Some 7 points a letter in any sans-serif font of this size.
    x += 30 + subject.length * 7;
    return [
      `<rect x="${at}" y="36" width="12" height="12" fill="${colourOf(index)}"/>`,
      text(at + 17, 47, subject, FAINT),
    ];
  });
}
