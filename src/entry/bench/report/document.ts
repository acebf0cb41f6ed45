import { isStable } from "../measure.ts";
import type { Results } from "../results.ts";
import { formatCharts } from "./charts.ts";
import { formatTable } from "./format.ts";
import { formatGoals } from "./goals.ts";
import { formatSection, formatSections } from "./sections.ts";
import template from "./template.md" with { type: "text" };

/** What stands where a run has nothing. */
const ABSENT = "(not in this run)";

/** The files of a report by name: the page and its pictures, all made of the results alone. */
export function formatDocument(results: Results): Record<string, string> {
  const charts = formatCharts(results.measures);
  const page = chooseParts(template, results.measures).replace(/\{\{([^}]+)\}\}/g, (_all, name: string) => {
    if (name === "goals") return formatGoals(results.measures);
    if (name === "facts") return formatFacts(results);
    if (name === "marks") return formatMarks(results);
    if (name === "notes")
      return results.notes.map((note) => `- ${note}`).join("\n") || "Nothing was left out.";
    const [file, title] = name.split("|");
    if (file?.endsWith(".svg")) return charts[file] ? `![${title ?? file}](${file})` : ABSENT;
    return formatSection(name, results.measures) || ABSENT;
  });
  const pictures = Object.entries(charts).filter(([, svg]) => svg !== "");
  return { "benchmarks.md": page, ...Object.fromEntries(pictures) };
}

/**
 * A part from `{{when NAME}}` to `{{end}}`, each a line of its own, stays where the run has something for the table NAME,
 * one from `{{unless NAME}}` where it has nothing. A blank line behind such a line goes with it, but not behind the end of
 * one that is indented, which is in a list that may end there.
 */
function chooseParts(text: string, measures: Results["measures"]): string {
  const part = /^ *\{\{(when|unless) ([^}]+)\}\}\n\n?([\s\S]*?)^( *)\{\{end\}\}\n(\n?)/gm;
  return text.replace(
    part,
    (_all, which: string, name: string, there: string, indent: string, blank: string) => {
      const table = name === "goals" ? formatGoals(measures) : formatSection(name, measures);
      const kept = (table === "") === (which === "unless") ? there : "";
      return indent === "" ? kept : kept + blank;
    },
  );
}

/** The report for a terminal. */
export function formatSummary(results: Results): string {
  const notes = results.notes.map((note) => `note: ${note}`);
  const goals = formatGoals(results.measures);
  const tables = [formatSections(results.measures), goals === "" ? "" : `goals\n\n${goals}`];
  return `${[formatFacts(results), formatMarks(results), ...tables, ...notes].filter((part) => part !== "").join("\n\n")}\n`;
}

function formatFacts({ machine, versions, began, ended }: Results): string {
  const minutes = (Date.parse(ended) - Date.parse(began)) / 60_000;
  const kind = machine.hypervisor === null ? "" : `, a virtual machine (hypervisor: ${machine.hypervisor})`;
  return formatTable(
    ["", ""],
    [
      [
        "machine",
        `${machine.cpu}, ${machine.cpus} CPUs, ${(machine.memoryMiB / 1024).toFixed(0)} GiB${kind}`,
      ],
      ["system", `${machine.distribution}, Linux ${machine.kernel}, ${machine.architecture}`],
      [
        "versions",
        Object.entries(versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", "),
      ],
      ["date", `${began.slice(0, 16).replace("T", " ")} UTC, ${minutes.toFixed(0)} minutes`],
    ],
    2,
  );
}

/** What has to be said before anybody reads a figure. */
function formatMarks({ marks, measures }: Results): string {
  const unstable = measures.filter((measure) => !isStable(measure)).length;
  const all = [
    ...marks.map((mark) => `**${mark}**`),
    `${measures.length - unstable} of ${measures.length} medians are known to ± 5 % or better; those that are not carry a "≈".`,
  ];
  return all.map((line) => `- ${line}`).join("\n");
}
