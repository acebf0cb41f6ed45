import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import { SUITES, UNITS } from "./measure.ts";

const list = <T extends v.GenericSchema>(item: T) => v.pipe(v.array(item), v.readonly());
const Ratio = v.strictObject({ to: v.string(), ratio: v.number(), low: v.number(), high: v.number() });

const MeasureSchema = v.strictObject({
  suite: v.picklist(SUITES),
  scenario: v.string(),
  metric: v.string(),
  subject: v.string(),
  unit: v.picklist(UNITS),
  better: v.picklist(["less", "more"]),
  median: v.number(),
  low: v.number(),
  high: v.number(),
  p95: v.number(),
  turns: v.number(),
  ratios: list(Ratio),
});

const MachineSchema = v.strictObject({
  /** As the processor names itself; CPUs we may use; memory in MiB. */
  cpu: v.string(),
  cpus: v.number(),
  memoryMiB: v.number(),
  /** "kvm", as far as it can be known; null on bare metal, or unknown. */
  hypervisor: v.nullable(v.string()),
  distribution: v.string(),
  kernel: v.string(),
  architecture: v.string(),
});
/** The machine of a run. */
export type Machine = v.InferOutput<typeof MachineSchema>;

const ResultsSchema = v.strictObject({
  /** Of this very shape. */
  format: v.literal(1),
  /** ISO 8601, UTC. */
  began: v.string(),
  ended: v.string(),
  machine: MachineSchema,
  /** Program → version, as they tell it. */
  versions: v.record(v.string(), v.string()),
  /** Suites that were asked for. */
  suites: list(v.picklist(SUITES)),
  isQuick: v.boolean(),
  /** False while it runs; so it stays when the run is ended. */
  isComplete: v.boolean(),
  /** What makes the figures doubtful: a busy machine, an interruption. */
  marks: list(v.string()),
  /** What was left out, and why. */
  notes: list(v.string()),
  measures: list(MeasureSchema),
});
/** All of a run. */
export type Results = v.InferOutput<typeof ResultsSchema>;

/** Parses what {@link formatResults} wrote. Throws HostError when it is something else; `path` names it. */
export function parseResults(text: string, path: string): Results {
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new HostError(`${path} is no JSON`, "name a file that `minicni bench … --out` wrote");
  }
  const result = v.safeParse(ResultsSchema, parsed);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new HostError(
    `${path} holds no results: ${v.getDotPath(issue) ?? "it"}: ${issue.message}`,
    "name a file that `minicni bench … --out` of this version wrote",
  );
}

/** JSON with one measure on each line, so that two runs can be compared by diff; four digits that count. */
export function formatResults({ measures, ...facts }: Results): string {
  const head = JSON.stringify(facts, null, 2).replace(/\n}$/, "");
  const lines = measures.map((measure) => `    ${JSON.stringify(measure, round)}`);
  const body = lines.length === 0 ? "[]" : `[\n${lines.join(",\n")}\n  ]`;
  return `${head},\n  "measures": ${body}\n}\n`;
}

function round(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}
