import { type Check, judge } from "../../../src/doctor/check.ts";
import { type Facts, SECTIONS, type Section, type SectionName } from "../../../src/doctor/facts.ts";
import type { Finding } from "../../../src/doctor/finding.ts";

/** Facts of which only some sections were seen. */
export function factsOf(seen: { readonly [N in SectionName]?: Section<N> }): Facts {
  const names = Object.keys(SECTIONS) as SectionName[];
  const sections = names.map((name) => [
    name,
    name in seen ? { seen: seen[name] } : { unseen: "not in this test" },
  ]);
  return {
    version: 1,
    takenAt: "2026-11-29T05:00:00.000Z",
    minicni: "0.1.0",
    sections: Object.fromEntries(sections),
  };
}

/** What one check says of some sections. */
export function findingsOf(check: Check, seen: { readonly [N in SectionName]?: Section<N> }): Finding[] {
  return judge([check], factsOf(seen));
}

/** Findings as text, one line each, for comparisons: `FAIL A10 message`. */
export function linesOf(findings: readonly Finding[]): string[] {
  return findings.map(({ level, id, message }) => `${level.toUpperCase()} ${id} ${message}`);
}
