import type { Finding, Level } from "../../doctor/finding.ts";
import type { DoctorReport } from "../../doctor/report.ts";
import type { Paint } from "../output/paint.ts";
import type { Screen } from "../output/screen.ts";
import { count, pad, wrap } from "../output/text.ts";

const INDENT = "          ";
/** More lines of evidence are in `--json`. */
const MOST_EVIDENCE = 8;

/** The report for a person: worst first, each with its evidence, cause and fix; then the count. */
export function formatDoctor(
  report: DoctorReport,
  { width, paint }: Pick<Screen, "width" | "paint">,
): string {
  const lines = report.findings.flatMap((finding) => formatFinding(finding, width, paint));
  const { fail, warn, skip, pass } = report.counts;
  const verdict = `${fail} failed, ${count(warn, "warning")}, ${skip} skipped, ${pass} passed`;
  const mark = fail > 0 ? paint.bad : warn > 0 ? paint.warn : paint.good;
  return `${[...lines, "", ...wrap(verdict, width).map(mark)].join("\n")}\n`;
}

function formatFinding(finding: Finding, width: number | null, paint: Paint): string[] {
  const { id, level, message, evidence, cause, fix } = finding;
  const [first = "", ...rest] = wrap(message, width, INDENT);
  const head = `${markOf(level, paint)(pad(level.toUpperCase(), 4))}  ${pad(id, 4)}${first.slice(INDENT.length)}`;
  if (level === "pass" || level === "skip") return [head, ...rest];
  const shown = evidence.slice(0, MOST_EVIDENCE);
  const more = evidence.length - shown.length;
  return [
    head,
    ...rest,
    ...shown.flatMap((line) => wrap(line, width, `${INDENT}| `).map(paint.dim)),
    ...(more > 0 ? [paint.dim(`${INDENT}| and ${more} more: --json`)] : []),
    ...(cause === null ? [] : wrap(`why: ${cause}`, width, INDENT)),
    ...fix.flatMap((command, index) => formatFix(command, index === 0 ? "fix: " : "     ", paint)),
    ...wrap(paint.dim(`docs/operations.md#${id.toLowerCase()}`), width, INDENT),
  ];
}

/** Commands stay whole, and what has several lines (a here-document) stands at the edge: both are there to be pasted. */
function formatFix(command: string, label: string, paint: Paint): string[] {
  const lines = command.split("\n");
  if (lines.length === 1) return [`${INDENT}${label}${paint.bold(command)}`];
  return [...(label.trim() === "" ? [] : [`${INDENT}${label.trim()}`]), ...lines.map(paint.bold)];
}

function markOf(level: Level, paint: Paint): (text: string) => string {
  return { fail: paint.bad, warn: paint.warn, skip: paint.dim, pass: paint.good }[level];
}
