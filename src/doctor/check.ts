import type { Facts, Section, SectionName } from "./facts.ts";
import { type Finding, skip, type Verdict } from "./finding.ts";

/** One check: pure, of the facts alone. */
export interface Check {
  readonly id: string;
  /** What is looked at, in a few words: `kernel modules`. */
  readonly title: string;
  /** What it is judged by. */
  readonly needs: readonly SectionName[];
  readonly judge: (facts: Facts) => Verdict[];
}

/** A check of some sections: where one of them could not be seen it is skipped, and says why. */
export function check<N extends SectionName>(
  id: string,
  title: string,
  needs: readonly N[],
  judge: (sections: { readonly [K in N]: Section<K> }, facts: Facts) => Verdict[],
): Check {
  return {
    id,
    title,
    needs,
    judge: (facts) => {
      const missing = needs.flatMap((name) => {
        const section = facts.sections[name];
        return "unseen" in section ? [section.unseen] : [];
      });
      if (missing.length > 0) return [skip(`${title}: not looked at: ${[...new Set(missing)].join("; ")}`)];
      const seen = needs.map((name) => {
        const section = facts.sections[name];
        return [name, "seen" in section ? section.seen : undefined] as const;
      });
      return judge(Object.fromEntries(seen) as { readonly [K in N]: Section<K> }, facts);
    },
  };
}

/** All checks' findings, in the order of the checks. A check that throws is a finding of its own, and keeps no other from being made. */
export function judge(checks: readonly Check[], facts: Facts): Finding[] {
  return checks.flatMap(({ id, title, judge: of }) =>
    verdicts(title, () => of(facts)).map((verdict) => ({ id, ...verdict })),
  );
}

function verdicts(title: string, of: () => Verdict[]): Verdict[] {
  try {
    return of();
  } catch (error) {
    return [skip(`${title}: this check failed: ${error instanceof Error ? error.message : String(error)}`)];
  }
}
