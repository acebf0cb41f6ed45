import type { Facts } from "./facts.ts";
import { type Finding, LEVELS, type Level, worstFirst } from "./finding.ts";

/** What a doctor run found, for people and for `--json`. */
export interface DoctorReport {
  readonly takenAt: string;
  readonly minicni: string;
  readonly counts: Readonly<Record<Level, number>>;
  /** Worst first. */
  readonly findings: readonly Finding[];
}

/** The findings with their head. */
export function describeReport({ takenAt, minicni }: Facts, findings: readonly Finding[]): DoctorReport {
  const countOf = (level: Level) => findings.filter((finding) => finding.level === level).length;
  const counts = Object.fromEntries(LEVELS.map((level) => [level, countOf(level)])) as Record<Level, number>;
  return { takenAt, minicni, counts, findings: worstFirst(findings) };
}

/** 0: nothing to do; 1: somebody should look. What could not be looked at is no fault of the node's. */
export function exitCodeOf({ counts }: DoctorReport): 0 | 1 {
  return counts.fail + counts.warn > 0 ? 1 : 0;
}
