import { FAMILIES, formatAddress } from "../../net/address.ts";
import { formatPrefix } from "../../net/prefix.ts";
import { CHECKS, type LabReport, type Probe } from "./test.ts";

/** Marks for a terminal; plain text when colour is off. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

/** ANSI colours, or none. */
export function createPaint(isColoured: boolean): Paint {
  const paint = (code: number) => (text: string) => (isColoured ? `\x1b[${code}m${text}\x1b[0m` : text);
  return { good: paint(32), bad: paint(31), dim: paint(2), bold: paint(1) };
}

/** The report for a person: the cluster, the checks with their round trips, then what failed and what to do. */
export function formatReport(report: LabReport, paint: Paint): string {
  const lines = [
    ...picture(report, paint),
    "",
    paint.bold(`  ${row(["check", "family", "passed", "min", "median", "max", "source kept"])}`),
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

function picture({ nodes, pods }: LabReport, paint: Paint): string[] {
  return nodes.flatMap((node, index) => {
    const branch = index === nodes.length - 1 ? "└─" : "├─";
    const stem = index === nodes.length - 1 ? "  " : "│ ";
    const own = pods.filter((pod) => pod.node === node.name);
    return [
      ...(index === 0 ? [paint.bold("underlay switch")] : []),
      `${branch} ${paint.bold(node.name)}  ${node.addresses.map(formatAddress).join("  ")}  ${paint.dim(
        `pods ${node.podCidrs.map(formatPrefix).join("  ")}`,
      )}`,
      ...own.map(
        (pod, at) =>
          `${stem}  ${at === own.length - 1 ? "└─" : "├─"} ${pod.name}  ${pod.addresses.join("  ")}`,
      ),
    ];
  });
}

const WIDTHS = [26, 8, 9, 9, 9, 9, 0];

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0))
    .join("")
    .trimEnd();
}

function checkRow(check: string, family: 4 | 6, probes: readonly Probe[], paint: Paint): string {
  const times = probes.flatMap(({ rttMs }) => rttMs ?? []).sort((a, b) => a - b);
  const passed = probes.filter(({ ok }) => ok).length;
  const kept = probes.filter(
    ({ seenSource, ownAddresses }) => seenSource !== null && ownAddresses.includes(seenSource),
  ).length;
  const text = row([
    check,
    `IPv${family}`,
    `${passed}/${probes.length}`,
    milliseconds(times[0]),
    milliseconds(times[Math.floor(times.length / 2)]),
    milliseconds(times.at(-1)),
    kept === probes.length ? "yes, no NAT" : `${kept}/${probes.length}`,
  ]);
  return passed === probes.length ? `${paint.good("✓")} ${text}` : `${paint.bad("✗")} ${text}`;
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? "–" : `${value.toFixed(2)}ms`;
}

function failures({ probes, drift }: LabReport, paint: Paint): string[] {
  const lines = probes
    .filter(({ ok }) => !ok)
    .map(({ from, to, address, seenSource, ownAddresses }) =>
      seenSource === null
        ? `${from} → ${to} (${address}): no answer. See \`ip route get\` and \`iptables-save\` in the node's namespace`
        : `${from} → ${to} (${address}): arrived from ${seenSource}, wanted one of ${ownAddresses.join(", ")} (NAT?)`,
    );
  const drifted = drift.map((text) => `not as desired: ${text}`);
  return [...lines, ...drifted].map((line) => paint.bad(line));
}

function verdict({ ok, probes, drift }: LabReport, paint: Paint): string {
  const passed = probes.filter((probe) => probe.ok).length;
  const state = drift.length === 0 ? "every node as desired" : `${drift.length} nodes not as desired`;
  const text = `${passed} of ${probes.length} probes passed, ${state}`;
  return ok ? paint.good(text) : paint.bad(text);
}

/** The report for a machine: addresses and CIDRs as text. */
export function toJson(report: LabReport): unknown {
  const nodes = report.nodes.map(({ name, addresses, podCidrs }) => ({
    name,
    addresses: addresses.map(formatAddress),
    podCidrs: podCidrs.map(formatPrefix),
  }));
  return { ...report, nodes };
}
