import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { DryPassFacts } from "../sections/dry-pass.ts";

/**
 * B7: the agent's rules as it would make them now, against the kernel's: chains, their rules, one jump each that no refusal
 * is ahead of (flannel#1337, #1450, #2145). What other tables drop is A5's.
 */
export const rulesCheck = check("B7", "masquerade and accept rules", ["dryPass"], ({ dryPass }) => {
  const found = [...differing(dryPass), ...unreadable(dryPass), ...warned(dryPass)];
  if (found.length > 0) return found;
  const { variant } = dryPass.rules;
  return [
    pass(`masquerade and accept rules as they should be${variant === null ? "" : ` (iptables-${variant})`}`),
  ];
});

function differing({ rules, steps }: DryPassFacts): Verdict[] {
  if (rules.changes.length === 0) return [];
  const changes = rules.changes.map(({ family, chain, what }) => `IPv${family} ${chain}: ${what}`);
  const commands = steps.filter(({ part }) => part === "rules").map(({ command }) => command);
  return [
    fail({
      message: `rules are not as they should be: ${changes.join("; ")}`,
      evidence: changes,
      cause:
        "what pods send is refused, or leaves the cluster with an address that nobody can answer; a running agent puts them back within seconds, unless somebody takes them away again (B12)",
      fix: commands,
    }),
  ];
}

/** What only root may look at: nothing is known of the rules then, and the agent, which is root, does not meet it. */
const FORBIDDEN = /\b(EACCES|EPERM|[Pp]ermission denied|[Oo]peration not permitted|must be root)\b/;

function unreadable({ rules }: DryPassFacts): Verdict[] {
  const [hidden, faults] = [
    rules.faults.filter(isForbidden),
    rules.faults.filter((one) => !isForbidden(one)),
  ];
  const skipped = hidden.slice(0, 1).map((one) => skip(`masquerade and accept rules: not looked at: ${one}`));
  if (faults.length === 0) return skipped;
  return [
    ...skipped,
    fail({
      message: "the rules can't be brought to what they should be",
      evidence: faults,
      cause: "the agent meets the same, and tries again at each pass",
      fix: ["minicni doctor --only A1  # the programs, and who has rules where"],
    }),
  ];
}

const isForbidden = (fault: string) => FORBIDDEN.test(fault);

function warned({ rules }: DryPassFacts): Verdict[] {
  return rules.warnings.map((warning) => warn({ message: `rules of others: ${warning}` }));
}
