/** How bad it is; `skip`: it could not be looked at, or means nothing here. Worst first. */
export const LEVELS = ["fail", "warn", "skip", "pass"] as const;
export type Level = (typeof LEVELS)[number];

/** What one check says. */
export interface Finding {
  /** `A1` to `A12` before an installation, `B1` to `B14` of a node that runs; docs/operations.md has a section for each. */
  readonly id: string;
  readonly level: Level;
  /** One line, without a full stop: what is so, with the names and figures of this node. */
  readonly message: string;
  /** Lines as they were read from this node: a rule, a route, a file's line, `net.ipv4.ip_forward = 0`. */
  readonly evidence: readonly string[];
  /** Why it is so and what comes of it, with the culprit by name; null where the message says all. */
  readonly cause: string | null;
  /** Commands to paste, or one sentence beginning with "#" where no command does it. */
  readonly fix: readonly string[];
}

/** A finding without its id, and without what it does not have. */
export interface Words {
  readonly message: string;
  readonly evidence?: readonly string[];
  readonly cause?: string;
  readonly fix?: readonly string[];
}

/** What a check returns: as many findings as there are things to say, at least one. */
export type Verdict = Omit<Finding, "id">;

export const pass = (message: string, evidence: readonly string[] = []): Verdict =>
  make("pass", { message, evidence });
export const skip = (message: string): Verdict => make("skip", { message });
export const warn = (words: Words): Verdict => make("warn", words);
export const fail = (words: Words): Verdict => make("fail", words);

function make(level: Level, { message, evidence = [], cause, fix = [] }: Words): Verdict {
  return { level, message, evidence, cause: cause ?? null, fix };
}

/** Worst first; of one level in the order of the checks. */
export function worstFirst(findings: readonly Finding[]): Finding[] {
  return findings.toSorted((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
}
