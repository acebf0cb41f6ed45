import { FAMILIES } from "../../net/address.ts";
import type { Paint } from "../output/paint.ts";
import { formatPicture } from "./picture.ts";
import { CHECKS, type Probe } from "./probe.ts";
import type { LabReport } from "./test.ts";

/** The report for a person: the cluster, the checks with their round trips, then what failed and what to do. */
export function formatReport(report: LabReport, paint: Paint): string {
  const lines = [
    ...formatPicture(report, paint),
    "",
    paint.bold(`  ${row(["check", "family", "passed", "min", "median", "max", "source kept", "path"])}`),
    ...CHECKS.flatMap((check) =>
      FAMILIES.flatMap((family) => {
        const probes = report.probes.filter((probe) => probe.check === check && probe.family === family);
        return probes.length === 0 ? [] : [checkRow(check, family, probes, paint)];
      }),
    ),
    "",
    ...failures(report, paint),
    verdict(report, paint),
  ];
  return `${lines.join("\n")}\n`;
}

const WIDTHS = [26, 8, 9, 9, 9, 9, 19, 0];

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0))
    .join("")
    .trimEnd();
}

function checkRow(check: string, family: 4 | 6, probes: readonly Probe[], paint: Paint): string {
  const times = probes.flatMap(({ rttMs }) => rttMs ?? []).sort((a, b) => a - b);
  const passed = probes.filter(({ ok }) => ok).length;
  const text = row([
    check,
    `IPv${family}`,
    `${passed}/${probes.length}`,
    milliseconds(times[0]),
    milliseconds(times[Math.floor(times.length / 2)]),
    milliseconds(times.at(-1)),
    sourcesOf(probes),
    pathsOf(probes),
  ]);
  return passed === probes.length ? `${paint.good("✓")} ${text}` : `${paint.bad("✗")} ${text}`;
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? "–" : `${value.toFixed(2)}ms`;
}

/** Whether packets arrived with the address of who sent them. */
function sourcesOf(probes: readonly Probe[]): string {
  const isKept = ({ seenSource, ownAddresses }: Probe) =>
    seenSource !== null && ownAddresses.includes(seenSource);
  const kept = probes.filter((probe) => isKept(probe) && !probe.isMasqueraded).length;
  const masqueraded = probes.filter((probe) => isKept(probe) && probe.isMasqueraded).length;
  if (kept === probes.length) return "yes, no NAT";
  return masqueraded === 0 ? `${kept}/${probes.length}` : `${kept} yes, ${masqueraded} as node`;
}

/** `direct`, or `2 direct, 4 tunnel`; a dash where no probe went to another node's pods. */
function pathsOf(probes: readonly Probe[]): string {
  const counts = (["direct", "tunnel", "none"] as const)
    .map((path) => ({ path, count: probes.filter((probe) => probe.path === path).length }))
    .filter(({ count }) => count > 0);
  if (counts.length === 0) return "–";
  if (counts.length === 1 && counts[0] !== undefined) return counts[0].path;
  return counts.map(({ path, count }) => `${count} ${path}`).join(", ");
}

function failures({ probes, drift, remarks }: LabReport, paint: Paint): string[] {
  const lines = probes
    .filter((probe) => !probe.ok)
    .map(({ from, to, address, seenSource, ownAddresses }) =>
      seenSource === null
        ? `${from} → ${to} (${address}): no answer. See \`ip route get\` and \`iptables-save\` in the node's namespace`
        : `${from} → ${to} (${address}): arrived from ${seenSource}, wanted one of ${ownAddresses.join(", ")} (NAT?)`,
    );
  const drifted = drift.map((text) => `not as desired: ${text}`);
  const said = remarks.map((text) => `the agent of ${text}`);
  return [...lines, ...drifted, ...said].map((line) => paint.bad(line));
}

function verdict({ ok, probes, drift }: LabReport, paint: Paint): string {
  const passed = probes.filter((probe) => probe.ok).length;
  const state = drift.length === 0 ? "every node as desired" : `${drift.length} nodes not as desired`;
  const text = `${passed} of ${probes.length} probes passed, ${state}`;
  return ok ? paint.good(text) : paint.bad(text);
}
