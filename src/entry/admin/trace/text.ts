import { formatBar } from "../../output/bar.ts";
import type { Screen } from "../../output/screen.ts";
import { type Column, formatPairs, formatTable } from "../../output/table.ts";
import { count, wrap } from "../../output/text.ts";
import {
  OWN_CODE,
  type Row,
  type ServedCalls,
  spread,
  spreadSteps,
  type TracedVerb,
  type TraceReport,
} from "./report.ts";

const BAR_COLUMNS = 12;
/** A rule's text or a plan's steps; all of it is in --json. */
const LONGEST_WHAT = 72;

const STEP: Column = { title: "step" };
const SHARE: Column = { title: "share" };
const WHAT: Column = { title: "what" };
const number = (title: string): Column => ({ title, align: "right" });
const ONE_RUN = [STEP, number("start"), number("ms"), SHARE, WHAT];
const MANY_RUNS = [STEP, number("calls"), number("min"), number("median"), number("max"), SHARE];

/** The whole report for people. */
export function formatTrace(report: TraceReport, screen: Pick<Screen, "width" | "paint">): string {
  const { runs } = report;
  const [first = []] = runs;
  const verbs = first.map(({ verb }) => verb);
  const blocks = verbs.flatMap((verb) => {
    const traced = runs.flatMap((run) => run.filter((one) => one.verb === verb));
    return [
      "",
      ...(runs.length === 1
        ? traced.flatMap((one) => formatOne(one, screen))
        : formatMany(report, verb, traced, screen)),
    ];
  });
  const lines = [
    ...formatHead(report, screen),
    ...blocks,
    ...(report.served === null ? [] : ["", ...formatServed(report.served, screen)]),
    "",
    ...formatEnd(report, screen),
  ];
  return `${lines.join("\n")}\n`;
}

function formatHead(report: TraceReport, screen: Pick<Screen, "width" | "paint">): string[] {
  const { network, config, cniVersion, isSimulated, containerId, others, isEach, runs } = report;
  return formatPairs(
    [
      ["network", `${network} (CNI ${cniVersion}) of ${config}`],
      ["node", isSimulated ? "simulated: a namespace of its own, this node is not touched" : "this one"],
      ["container", containerId],
      ["runs", runs.length === 1 ? null : String(runs.length)],
      ["left out", others.length === 0 ? null : `plugins that a runtime calls as well: ${others.join(", ")}`],
      [
        "plans",
        isEach ? "run step by step: their sum is larger than that of a plan that is run at once" : null,
      ],
    ],
    screen,
  );
}

function formatOne(
  { verb, totalMs, ownMs, rows, fault }: TracedVerb,
  screen: Pick<Screen, "width" | "paint">,
): string[] {
  const own: Row = { step: OWN_CODE, what: "between the steps", calls: 0, startMs: 0, durationMs: ownMs };
  const cells = [...rows, own].map((row) => [
    row.step,
    row === own ? "" : formatMs(row.startMs),
    formatMs(row.durationMs),
    formatBar(row.durationMs, totalMs, BAR_COLUMNS),
    describeWhat(row),
  ]);
  return [
    formatVerb(verb, totalMs, fault, screen),
    ...formatTable(ONE_RUN, cells, screen),
    ...formatFault(fault, screen),
  ];
}

function formatMany(
  { runs }: TraceReport,
  verb: TracedVerb["verb"],
  traced: readonly TracedVerb[],
  screen: Pick<Screen, "width" | "paint">,
): string[] {
  const total = spread(traced.map(({ totalMs }) => totalMs));
  const cells = spreadSteps(runs, verb).map(({ step, calls, min, median, max }) => [
    step,
    calls === 0 ? "" : String(calls),
    formatMs(min),
    formatMs(median),
    formatMs(max),
    formatBar(median, total.median, BAR_COLUMNS),
  ]);
  const sum = ["in all", "", formatMs(total.min), formatMs(total.median), formatMs(total.max), ""];
  const fault = traced.find((one) => one.fault !== null)?.fault ?? null;
  const head = formatVerb(verb, total.median, fault, screen);
  return [head, ...formatTable(MANY_RUNS, [...cells, sum], screen), ...formatFault(fault, screen)];
}

function formatVerb(
  verb: string,
  totalMs: number,
  fault: string | null,
  { paint }: Pick<Screen, "paint">,
): string {
  return `${paint.bold(verb)}  ${formatMs(totalMs)} ms${fault === null ? "" : `  ${paint.bad("failed")}`}`;
}

function formatFault(fault: string | null, { width, paint }: Pick<Screen, "width" | "paint">): string[] {
  return fault === null ? [] : wrap(paint.bad(fault), width, "  ");
}

function formatServed(
  { program, socket, verbs }: ServedCalls,
  screen: Pick<Screen, "width" | "paint">,
): string[] {
  const cells = verbs.map(({ verb, wallMs, fault }) => {
    const { min, median, max } = spread(wallMs);
    return [verb, formatMs(min), formatMs(median), formatMs(max), fault ?? ""];
  });
  const columns = [{ title: "verb" }, number("min"), number("median"), number("max"), { title: "fault" }];
  return [
    ...wrap(
      `as a runtime calls it: ${program}, and the agent behind ${socket}; from start to exit, in ms`,
      screen.width,
    ),
    ...formatTable(columns, cells, screen),
  ];
}

function formatEnd(
  { runs, notServed }: TraceReport,
  { width, paint }: Pick<Screen, "width" | "paint">,
): string[] {
  const faulty = runs.flat().filter(({ fault }) => fault !== null);
  const sums = (runs[0] ?? []).map(({ verb }) => {
    const all = runs.flatMap((run) => run.filter((one) => one.verb === verb));
    return `${verb} ${formatMs(spread(all.map(({ totalMs }) => totalMs)).median)} ms`;
  });
  const end =
    faulty.length === 0 ? paint.good("all went well") : paint.bad(`${count(faulty.length, "call")} failed`);
  return [
    ...(notServed === null ? [] : wrap(`not timed through an agent: ${notServed}`, width)),
    `${sums.join(", ")}; ${end}, all of it is taken back`,
  ];
}

function describeWhat({ what: whole, calls }: Row): string {
  // Of a path its end says enough here.
  const what = /^\/\S+$/.test(whole) ? whole.split("/").slice(-2).join("/") : whole;
  const text = what.length <= LONGEST_WHAT ? what : `${what.slice(0, LONGEST_WHAT)}…`;
  return calls > 1 ? `${text === "" ? "" : `${text} `}×${calls}` : text;
}

/** `0.03`, `12.40`. */
function formatMs(milliseconds: number): string {
  return milliseconds.toFixed(2);
}
