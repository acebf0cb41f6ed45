import type { Paint } from "../../output/paint.ts";
import type { Screen } from "../../output/screen.ts";
import { count, wrap } from "../../output/text.ts";
import type { DryPass, DryStep } from "../dry-pass.ts";

const PARTS = [
  ["network", "links, addresses, routes"],
  ["rules", "rules"],
  ["bridge", "bridge and ports of pods"],
  ["files", "files"],
] as const;

/** Whether all was seen that the agent sees: without root, or without iptables, nothing is known of the rules. */
export function isWhole({ rules }: DryPass): boolean {
  return rules.faults.length === 0;
}

/** The plan for a person: commands below their reasons, as a shell takes them; then what no command puts right. */
export function formatNodePlan(pass: DryPass, { width, paint }: Pick<Screen, "width" | "paint">): string {
  const notes = notesOf(pass)
    .flatMap((note) => wrap(note, width, "# "))
    .map(paint.warn);
  const [words, mark] = describeVerdict(pass, paint);
  const verdict = wrap(`${pass.node}: ${words}`, width, "# ").map(mark);
  const parts = PARTS.flatMap(([part, title]) => {
    const steps = pass.steps.filter((step) => step.part === part);
    return steps.length === 0 ? [] : ["", paint.bold(`# ${title}`), ...formatSteps(steps, paint.dim)];
  });
  return `${[...verdict, ...parts, ...(notes.length === 0 ? [] : ["", ...notes])].join("\n")}\n`;
}

function describeVerdict(pass: DryPass, paint: Paint): [words: string, mark: (text: string) => string] {
  const steps = `${count(pass.steps.length, "step")}, not run`;
  if (!isWhole(pass)) return [`${steps}; the rules are not known`, paint.bad];
  return pass.steps.length === 0 ? ["nothing to change", paint.good] : [steps, paint.bold];
}

/** A reason stands once above all commands that it is for. */
function formatSteps(steps: readonly DryStep[], dim: (text: string) => string): string[] {
  return steps.flatMap(({ command, why }, index) =>
    steps[index - 1]?.why === why ? [command] : [dim(`# ${why}`), command],
  );
}

function notesOf({ conflicts, withheld, peers, faults, rules, isLive }: DryPass): string[] {
  const list = isLive ? "the list is suddenly much shorter" : "the list of Nodes is not one of now";
  return [
    ...conflicts.map((text) => `in the way of a route: ${text}`),
    ...(withheld > 0
      ? [`${count(withheld, "route")} of ours that no Node accounts for would stay: ${list}`]
      : []),
    ...peers.map(({ node, message }) => `not reached: ${node}: ${message}`),
    ...faults,
    ...rules.faults.map((fault) => `rules: ${fault}`),
    ...[...rules.warnings, ...rules.blocks].map((warning) => `rules of others: ${warning}`),
  ];
}
