import type { Measure } from "../measure.ts";
import { PAIR_METRIC } from "../network/limited.ts";
import { formatLong, formatPivot, type Selection, select } from "./tables.ts";

/** One table of the report. */
interface Section extends Selection {
  readonly title: string;
  /** A row for each subject, or for each scenario; "given": for each scenario, beside a value that is known. */
  readonly form: "long" | "pivot" | "given";
}

const UNLIMITED = new RegExp(`^${PAIR_METRIC}$`);
const FILL = /^\/\d+, [\d.]+ % full$/;

/** Every table, by the name that the template calls it by. */
export const SECTIONS: Readonly<Record<string, Section>> = {
  "cni.start": {
    title: "Starting a program",
    suite: "cni",
    metric: /^VERSION/,
    form: "long",
  },
  "cni.add": { title: "ADD", suite: "cni", metric: /^ADD$/, form: "long" },
  "cni.del": { title: "DEL", suite: "cni", metric: /^DEL$/, form: "long" },
  "cni.host-ports": {
    title: "A host port and limits",
    suite: "cni",
    metric: /^(ADD|DEL)$/,
    scenario: /^chain: portmap/,
    form: "pivot",
  },
  "cni.burst": { title: "All pods of a node", suite: "cni", metric: /^(burst|drain)$/, form: "long" },
  "cni.burst-cpu": {
    title: "Processor time for all pods of a node",
    suite: "cni",
    metric: /^(burst|drain) CPU$/,
    form: "long",
  },
  "cni.burst-memory": {
    title: "Memory of all processes at once",
    suite: "cni",
    metric: /^(burst|drain) peak memory/,
    form: "long",
  },
  "cni.cpu": { title: "Processor time of a call", suite: "cni", metric: /^(ADD|DEL) CPU$/, form: "pivot" },
  "cni.memory": {
    title: "Peak memory of a call",
    suite: "cni",
    metric: /^(ADD|DEL) peak memory$/,
    form: "pivot",
  },
  "alloc.next-fit": {
    title: "The next free address",
    suite: "alloc",
    metric: /^next-fit( and release)?$/,
    scenario: FILL,
    form: "pivot",
  },
  "alloc.static": {
    title: "An address that was asked for",
    suite: "alloc",
    metric: /^static( and release)?$/,
    scenario: FILL,
    form: "pivot",
  },
  "alloc.release": { title: "Release", suite: "alloc", metric: /^release$/, scenario: FILL, form: "pivot" },
  "alloc.count": { title: "Count", suite: "alloc", metric: /^count$/, scenario: FILL, form: "pivot" },
  "alloc.text": {
    title: "With parsing and formatting",
    suite: "alloc",
    metric: /./,
    scenario: /text in and out/,
    form: "pivot",
  },
  "alloc.cold": {
    title: "The first address in a fresh process",
    suite: "alloc",
    metric: /^first allocation$/,
    form: "pivot",
  },
  "alloc.process": { title: "That whole process", suite: "alloc", metric: /^whole process$/, form: "pivot" },
  "alloc.plugin": {
    title: "A whole IPAM plugin",
    suite: "alloc",
    metric: /^(ADD|DEL)/,
    form: "long",
  },
  "routes.diff": { title: "The diff", suite: "routes", metric: /^diff$/, form: "pivot" },
  "routes.parse": { title: "Parsing alone", suite: "routes", metric: /^parse$/, form: "long" },
  "routes.both": { title: "Parsing and diff", suite: "routes", metric: /^parse \+ diff$/, form: "pivot" },
  "routes.list": { title: "A NodeList", suite: "routes", metric: /^NodeList/, form: "long" },
  "routes.cold": {
    title: "The first diff in a fresh process",
    suite: "routes",
    metric: /^(first diff|whole process)$/,
    form: "pivot",
  },
  "routes.pass": {
    title: "Whole passes",
    suite: "routes",
    metric: /^(first programming|nothing changed|one node changed|all others gone)/,
    scenario: /nodes/,
    form: "long",
  },
  "routes.programming": {
    title: "Routes from none to all",
    suite: "routes",
    metric: /^programming( CPU)?$/,
    form: "long",
  },
  "routes.agent": { title: "A whole agent", suite: "routes", metric: /^agent/, form: "long" },
  "network.throughput": { title: "Throughput", suite: "network", metric: /throughput/, form: "long" },
  "network.round-trip": { title: "Round trips", suite: "network", metric: /^round trip/, form: "long" },
  "network.limits": { title: "Limits", suite: "network", metric: /^(in|e)gress/, form: "given" },
  "network.beside": { title: "Beside limited pods", suite: "network", metric: UNLIMITED, form: "long" },
  "network.connect": { title: "New connections", suite: "network", metric: /connect/, form: "long" },
};

/** One table in Markdown; empty text when the run has nothing for it, or there is no such table. */
export function formatSection(name: string, measures: readonly Measure[]): string {
  const section = SECTIONS[name];
  if (section === undefined) return "";
  const found = select(measures, section);
  // One table, one unit: what differs goes into a table of its own.
  const units = [...new Set(found.map(({ unit }) => unit))];
  return units
    .map((unit) => {
      const same = found.filter((measure) => measure.unit === unit);
      return section.form === "long" ? formatLong(same) : formatPivot(same, section.form === "given");
    })
    .join("\n\n");
}

/** All tables that the run has something for, with their titles. */
export function formatSections(measures: readonly Measure[]): string {
  return Object.entries(SECTIONS)
    .flatMap(([name, { suite, title }]) => {
      const table = formatSection(name, measures);
      return table === "" ? [] : [`${suite}: ${title}\n\n${table}`];
    })
    .join("\n\n");
}
