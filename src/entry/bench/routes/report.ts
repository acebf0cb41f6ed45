import type { AgentReport } from "./agent.ts";
import type { DiffRow } from "./measure-diff.ts";
import type { PassReport } from "./pass.ts";

/** Everything that a run found. */
export interface BenchReport {
  readonly diff: readonly DiffRow[];
  readonly passes: readonly PassReport[];
  readonly agents: readonly AgentReport[];
  /** Why a part was left out. */
  readonly notes: readonly string[];
}

/** The tables for a person, in Markdown, so that they can be kept as they are. */
export function formatBenchReport({ diff, passes, agents, notes }: BenchReport): string {
  const lines: string[] = [];
  if (diff.length > 0) {
    lines.push("The route diff: microseconds for a whole call (median, 99th percentile).", "");
    lines.push(
      ...table(
        ["nodes", "routes", "case", "WASM", "p99", "±%", "ns/route", "twin", "twin/WASM", "Map", "Map/WASM"],
        diff.map(({ nodes, routes, name, wasm, twin, map }) => [
          count(nodes),
          count(routes),
          name,
          number(wasm.medianUs),
          number(wasm.p99Us),
          number(wasm.marginPercent),
          number((wasm.medianUs * 1000) / routes),
          number(twin.medianUs),
          `${number(twin.medianUs / wasm.medianUs)}×`,
          number(map.medianUs),
          `${number(map.medianUs / wasm.medianUs)}×`,
        ]),
      ),
    );
  }
  if (passes.length > 0) {
    lines.push("", "A whole pass in a namespace of its own: milliseconds.", "");
    lines.push(
      ...table(
        ["nodes", "backend", "pass", "total", "observe", "diff", "execute", "steps", "failed", "µs/step"],
        passes.flatMap(({ nodes, backend, parseMs, passes: all }) => [
          [count(nodes), backend, "NodeList parsed", number(parseMs), ...BLANK],
          ...all.map((pass) => [
            count(nodes),
            backend,
            pass.name,
            number(pass.totalMs),
            number(pass.observeMs),
            number(pass.diffMs),
            number(pass.executeMs),
            count(pass.steps),
            count(pass.failures),
            pass.steps < MANY_STEPS ? "" : number((pass.totalMs * 1000) / pass.steps),
          ]),
        ]),
      ),
    );
  }
  if (agents.length > 0) {
    lines.push(
      "",
      "A whole agent: start to ready, memory at rest and at most, processor time while nothing changes.",
      "",
    );
    lines.push(
      ...table(
        ["nodes", "backend", "ready ms", "rest MiB", "peak MiB", "idle ms/s"],
        agents.map(({ nodes, backend, readyMs, restMiB, peakMiB, idleMsPerS }) => [
          count(nodes),
          backend,
          number(readyMs),
          number(restMiB),
          number(peakMiB),
          number(idleMsPerS),
        ]),
      ),
    );
  }
  if (notes.length > 0) lines.push("", ...notes);
  return `${lines.join("\n")}\n`;
}

/** Below it what a pass costs by itself hides what a step costs. */
const MANY_STEPS = 100;
const BLANK = ["", "", "", "", "", ""];

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((cells) => (cells[column] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => pad(cells[column] ?? "", width, isText(head[column]))).join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (isText(head[column]) ? `${"-".repeat(width + 2)}` : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(head), rule, ...rows.map(line)];
}

const isText = (title: string | undefined) => title === "case" || title === "pass" || title === "backend";
const pad = (cell: string, width: number, left: boolean) =>
  left ? cell.padEnd(width) : cell.padStart(width);

/** Three digits that count, and no more than one behind the point. */
function number(value: number): string {
  if (value >= 100) return count(Math.round(value));
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}
