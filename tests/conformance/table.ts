import { readFileSync, writeFileSync } from "node:fs";
import { CASES, NO_PLUGIN_RULES, RULES } from "./cases.ts";
import { type Differences, MINICNI, REFERENCE } from "./outcomes.ts";

const PAGE = `${import.meta.dir}/../../docs/conformance.md`;

const UNRECORDED = "not recorded yet";

function count(differences: Differences | null): string {
  if (differences === null) return UNRECORDED;
  return `${CASES.length - Object.keys(differences).length} of ${CASES.length}`;
}

function intro(): string {
  return `# Conformance

<!-- Written by tests/conformance/table.ts --write; changes by hand are overwritten. -->

The CNI specification 1.1.0, its conventions and what runtimes really do come to ${RULES} rules. ${CASES.length} of them bind a plugin;
for each there is a case in \`tests/conformance\`. A case knows nothing of the inside of a plugin: it runs the binary with an
environment and a configuration on stdin, in a network namespace made for it, and looks at exit status, stdout, stderr and
what is in the kernel afterwards. The same cases run against the reference plugins \`bridge\` and \`host-local\`.

| plugin | rules kept |
| --- | --- |
| minicni | ${count(MINICNI)} |
| reference 1.9.1 | ${count(REFERENCE["1.9.1"])} |
| reference 1.1.1 (Debian's package) | ${count(REFERENCE["1.1.1"])} |

## Run it

As root, after \`make build\`; each namespace and file that it makes is removed again:

\`\`\`sh
bun test tests/conformance                    # minicni, and the reference plugins of /usr/lib/cni
CNI_PEERS=dir bun test tests/conformance      # the reference plugins of another folder
MINICNI_BIN=file bun test tests/conformance   # another build of minicni
\`\`\`

- \`minicni.test.ts\`: every rule has to be kept.
- \`reference.test.ts\`: the reference has to keep and break what is recorded here, no more and no less. It says nothing
  against the reference; it proves that the cases measure something.
- \`broken.test.ts\`: plugins that are wrong on purpose have to break the rules.
- \`table.test.ts\`: this page has to be what the recorded outcomes say.

After a change of the recorded outcomes in \`outcomes.ts\`: \`bun tests/conformance/table.ts --write\`.

## The rules

"Level" is the word of the specification; "library" means that the Go library, and so each plugin built on it, behaves
like this; "de facto" that a runtime depends on it without a word in the specification.

| rule | what | level | minicni | reference 1.9.1 | reference 1.1.1 |
| --- | --- | --- | --- | --- | --- |
`;
}

function cell(differences: Differences | null, rule: number, same?: Differences): string {
  if (differences === null) return UNRECORDED;
  const words = differences[rule];
  if (words === undefined) return "kept";
  return words === same?.[rule] ? "as 1.9.1" : `differs: ${words}`;
}

function row(rule: number): string {
  const nobody = NO_PLUGIN_RULES.find((each) => each.rule === rule);
  if (nobody !== undefined) {
    return `| ${rule} | ${nobody.title} | ${nobody.level} | not a plugin rule: ${nobody.reason} | – | – |`;
  }
  const found = CASES.find((each) => each.rule === rule);
  if (found === undefined) throw new Error(`rule ${rule} has no case and no reason for having none`);
  const newer = REFERENCE["1.9.1"];
  const cells = [cell(MINICNI, rule), cell(newer, rule), cell(REFERENCE["1.1.1"], rule, newer)];
  return `| ${rule} | ${found.title} | ${found.level} | ${cells.join(" | ")} |`;
}

/** docs/conformance.md as it has to be. */
export function page(): string {
  const rows = Array.from({ length: RULES }, (_, index) => row(index + 1));
  return `${intro()}${rows.join("\n")}\n`;
}

/** docs/conformance.md as it is. */
export function writtenPage(): string {
  return readFileSync(PAGE, "utf8");
}

if (import.meta.main) {
  if (process.argv.includes("--write")) writeFileSync(PAGE, page());
  else process.stdout.write(page());
}
