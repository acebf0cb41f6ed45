import type { Screen } from "../../output/screen.ts";
import { type Column, formatPairs, formatTable } from "../../output/table.ts";
import { count, wrap } from "../../output/text.ts";
import type { Finding } from "./causes.ts";
import { describeTarget, type Probe } from "./judge.ts";
import { type ConnectivityReport, isWell } from "./report.ts";

const COLUMNS: readonly Column[] = [
  { title: "from → to" },
  { title: "address" },
  { title: "result" },
  { title: "small" },
  { title: "ms", align: "right" },
  { title: "full size" },
];
/** What is wrong shows each of its probes; of more than these a few say it. */
const MOST_EVIDENCE = 6;

type Place = Pick<Screen, "width" | "paint">;

/** The whole report for people: what is lost first. */
export function formatConnectivity(report: ConnectivityReport, screen: Place): string {
  const { probes, findings, podFault } = report;
  const isLost = ({ status }: Probe) => status === "lost" || status === "cut";
  const sorted = [...probes.filter(isLost), ...probes.filter((probe) => !isLost(probe))];
  const rows = sorted.map((probe) => formatRow(probe, screen));
  const lines = [
    ...formatHead(report, screen),
    ...(podFault === null ? [] : ["", ...formatPodFault(podFault, screen)]),
    ...findings.flatMap((finding) => ["", ...formatFinding(finding, screen)]),
    ...(rows.length === 0 ? [] : ["", ...formatTable(COLUMNS, rows, screen)]),
    "",
    ...formatEnd(report, screen),
  ];
  return `${lines.join("\n")}\n`;
}

function formatHead(report: ConnectivityReport, screen: Place): string[] {
  const { node, source, peers, pod, mtu, notAsked, notes } = report;
  const { known, probed } = peers;
  const some =
    probed.length === known ? String(known) : `${probed.length} of ${known} (--peers all: every one)`;
  return formatPairs(
    [
      ["node", node ?? "its name is not known (--node NAME)"],
      ["peers", known === 0 ? describeNoPeers(source) : some],
      ["pod", pod === null ? null : `${pod.containerId}, ${pod.addresses.join(", ")}, MTU ${mtu}`],
      ["peers' pods", notAsked],
      ...notes.map((note) => ["note", note] as const),
    ],
    screen,
  );
}

function describeNoPeers(source: string | null): string {
  return source === null
    ? "none known: there is no list of Nodes (--nodes FILE, --kubeconfig FILE)"
    : "none: this is the only Node";
}

function formatPodFault(fault: string, { width, paint }: Place): string[] {
  return [
    paint.bad("a pod can't be attached on this node"),
    ...wrap(fault, width, "  "),
    ...wrap("what to do: minicni trace; minicni doctor", width, "  "),
  ];
}

function formatFinding(
  { about, families, cause, evidence, fix }: Finding,
  { width, paint }: Place,
): string[] {
  const [first = "", ...rest] = wrap(
    `${about} (${families.map((one) => `IPv${one}`).join(", ")}): ${cause}`,
    width,
  );
  const shown = evidence.slice(0, MOST_EVIDENCE);
  const more = evidence.length - shown.length;
  return [
    paint.bad(first),
    ...rest.map(paint.bad),
    ...shown.flatMap((line) => wrap(line, width, "  ")),
    ...(more === 0 ? [] : [`  and ${count(more, "probe")} more`]),
    ...fix.flatMap((line) => wrap(`what to do: ${line}`, width, "  ")),
  ];
}

function formatRow(probe: Probe, { paint }: Place): string[] {
  const { from, address, status, small, rttMs, fullBytes, full, fits } = probe;
  const marks = {
    ok: paint.good("ok"),
    lost: paint.bad("LOST"),
    cut: paint.bad("CUT"),
    absent: paint.dim("absent"),
  };
  const large = full === null ? "" : `${fullBytes} ${full}${fits === null ? "" : `, ${fits} fit`}`;
  return [
    `${from} → ${describeTarget(probe)}`,
    address,
    marks[status],
    small,
    rttMs === null ? "" : rttMs.toFixed(2),
    large,
  ];
}

function formatEnd(report: ConnectivityReport, { width, paint }: Place): string[] {
  const of = (status: Probe["status"]) => report.probes.filter((probe) => probe.status === status).length;
  const absent = of("absent");
  const words = [
    `${of("ok")} ok`,
    ...(of("lost") === 0 ? [] : [`${of("lost")} lost`]),
    ...(of("cut") === 0 ? [] : [`${of("cut")} only with small packets`]),
    ...(absent === 0 ? [] : [`${absent} absent (the gateway address comes with a node's first pod)`]),
  ];
  const end = isWell(report) ? paint.good("all well") : paint.bad("not all well");
  return wrap(`${count(report.probes.length, "probe")}: ${words.join(", ")}; ${end}`, width);
}
