import { formatBar, formatShare } from "../../output/bar.ts";
import type { Screen } from "../../output/screen.ts";
import { formatPairs } from "../../output/table.ts";
import { count, wrap } from "../../output/text.ts";
import { ageOf, type Wrong } from "./judge.ts";
import type { SeenNode } from "./seen.ts";

/** Characters of the picture of a range. */
const BAR = 20;
/** More repairs are in `--json`. */
const MOST_REPAIRS = 5;
/** Of lists that may be thousands long; all of it is in `--json`. */
const MOST_WRONG = 20;

const HANGING = "    ";

type Style = Pick<Screen, "width" | "paint">;
type Row = readonly [name: string, value: string | null];

/** One node at a glance: what is there, then what is wrong, then what could not be seen. */
export function formatNode(seen: SeenNode, wrong: readonly Wrong[], style: Style): string {
  const { paint, width } = style;
  const rows = [
    ...agentRows(seen, style),
    ...networkRows(seen, style),
    ...podRows(seen),
    ...repairRows(seen),
  ];
  const lines = [
    paint.bold(seen.node === null ? "this node (its Node's name is not known)" : `node ${seen.node}`),
    "",
    ...formatPairs(rows, style),
    ...formatList(
      "wrong",
      wrong.map(({ about, message }) => `${about}: ${message}`),
      paint.bad,
      width,
    ),
    ...formatList(isRefused(seen) ? "not seen, run as root" : "not seen", seen.unseen, paint.warn, width),
    "",
    ...wrap(formatVerdict(wrong.length, seen.unseen.length, paint), width),
  ];
  return `${lines.join("\n")}\n`;
}

function isRefused({ unseen }: SeenNode): boolean {
  return unseen.some((line) => /\bE(ACCES|PERM)\b/.test(line));
}

function formatVerdict(wrong: number, unseen: number, paint: Screen["paint"]): string {
  if (wrong > 0) return `${paint.bad(`${count(wrong, "thing")} wrong`)}; why, and what to do: minicni doctor`;
  return unseen > 0 ? paint.warn("nothing is wrong in what could be seen") : paint.good("all well");
}

function agentRows({ agent, report, takenAt, minicni }: SeenNode, { paint }: Style): Row[] {
  const version = report === null ? "" : `minicni ${report.minicni}, pid ${report.pid}`;
  const other = report === null || report.minicni === minicni ? "" : `; this program is ${minicni}`;
  const of = (at: string | null | undefined) => (at ? ageOf(at, takenAt) : "?");
  const life = {
    running: () => `${paint.good("running")} for ${of(report?.startedAt)} (${version}${other})`,
    silent: () => `${paint.bad("silent")} for ${of(report?.writtenAt)} (${version}${other})`,
    stopped: () => `${paint.bad("stopped")} ${of(report?.stoppedAt)} ago (${version}${other})`,
    dead: () => `${paint.bad("not running")}: last heard ${of(report?.writtenAt)} ago (${version}${other})`,
    absent: () =>
      agent.isLocked === true ? paint.warn("running, and tells nothing") : paint.bad("not running"),
    unknown: () =>
      ({
        true: paint.warn("running, not readable"),
        false: paint.bad("not running"),
        null: paint.warn("can't be seen"),
      })[`${agent.isLocked}`],
  }[agent.life]();
  if (report === null) return [["agent", life]];
  const { nodes, readiness, lastSyncAt } = report;
  const heard = nodes.heardAt === null ? "not heard in this run" : `heard ${of(nodes.heardAt)} ago`;
  const unready = readiness.filter(({ fault }) => fault !== null).map(({ name }) => name);
  return [
    ["agent", life],
    [
      "Nodes",
      `${formatSource(nodes, heard, paint)}${
        nodes.faulty.length === 0 ? "" : paint.bad(`; ${nodes.faulty.length} left out`)
      }`,
    ],
    [
      "ready",
      // What an ended agent said of that is over.
      agent.life !== "running"
        ? null
        : unready.length === 0
          ? `${paint.good("yes")} (${readiness.map(({ name }) => name).join(", ")})`
          : `${paint.bad("no")}: ${unready.join(", ")}`,
    ],
    ["last sync", lastSyncAt === null ? paint.bad("none yet") : `${of(lastSyncAt)} ago`],
  ];
}

function formatSource(
  { known, source, isLive }: NonNullable<SeenNode["report"]>["nodes"],
  heard: string,
  { warn }: Screen["paint"],
): string {
  if (known === 0 && !isLive) return warn(`none yet from ${source}`);
  return `${known} from ${source}, ${isLive ? heard : warn(`last known ones, ${heard}`)}`;
}

function networkRows(seen: SeenNode, { paint }: Style): Row[] {
  const { report, published, links, routes, missing } = seen;
  const podCidrs = report?.podCidrs ?? published?.podCidrs ?? [];
  const mtu = published?.mtu ?? (report === null || report.mtu === 0 ? null : report.mtu);
  const link = (name: string) => links?.find((one) => one.name === name);
  const there = (links ?? []).map(({ name, isUp, mtu: bytes }) =>
    isUp ? `${name} (MTU ${bytes})` : paint.bad(`${name} down`),
  );
  const gone = (report?.tunnels ?? []).filter(({ name }) => links !== null && link(name) === undefined);
  const rows: Row[] = [
    ["pod CIDRs", podCidrs.length === 0 ? null : podCidrs.join(", ")],
    ["MTU", mtu === null ? null : String(mtu)],
    [
      "devices",
      [...there, ...gone.map(({ name }) => paint.bad(`${name} missing`))].join(", ") || "none of ours",
    ],
  ];
  const counts = ([4, 6] as const).map((family) => ({ family, own: routes?.[family] ?? 0 }));
  if (report === null) {
    const own = counts.map(({ family, own }) => `IPv${family} ${own}`).join(", ");
    return [...rows, ["routes", routes === null ? null : `${own} of ours in the kernel`]];
  }
  const { peers, conflicts, rules } = report;
  const ways = (path: "direct" | "tunnel" | "none") => peers.filter((peer) => peer.path === path).length;
  const reached = peers.filter(({ path, fault }) => path !== "none" && fault === null).length;
  const wanted = report.routes.map(({ family, desired, programmed }) => {
    const lost = missing.filter(({ dst }) => dst.includes(":") === (family === 6)).length;
    const have = routes === null ? programmed : Math.min(programmed, Math.max(0, desired - lost));
    const own = counts.find((one) => one.family === family)?.own ?? 0;
    const more = own > desired ? ` (and ${own - desired} that no Node accounts for)` : "";
    return `IPv${family} ${mark(have, desired, paint)}${more}`;
  });
  return [
    ...rows,
    [
      "backend",
      `${report.settings.backend}: ${ways("direct")} direct, ${ways("tunnel")} by tunnel, ${ways("none")} not reached`,
    ],
    ["peers", `${mark(reached, peers.length, paint)} as they should be`],
    ["routes", wanted.length === 0 ? "none yet" : wanted.join(", ")],
    [
      "conflicts",
      conflicts.length === 0
        ? null
        : paint.bad(count(conflicts.length, "route of others", "routes of others")),
    ],
    ["rules", formatRules(rules, paint)],
  ];
}

function mark(have: number, want: number, paint: Screen["paint"]): string {
  const text = `${have} of ${want}`;
  return have < want ? paint.bad(text) : text;
}

function formatRules(
  { variant, faults, warnings }: NonNullable<SeenNode["report"]>["rules"],
  { bad, warn }: Screen["paint"],
): string {
  const name = variant === null ? "iptables" : `iptables-${variant}`;
  if (variant === null && faults.length === 0) return warn("not looked at yet");
  if (faults.length > 0) return `${name}, ${bad(count(faults.length, "fault"))}`;
  return `${name}, as desired${warnings.length === 0 ? "" : `; ${warn(count(warnings.length, "warning"))}`}`;
}

function podRows({ ranges, attachments }: SeenNode): Row[] {
  const use = ranges.map(({ network, range, used, free }) => {
    const total = used + free;
    return `${formatBar(used, total, BAR)} ${formatShare(used, total)}: ${used} used, ${free} free of ${network} ${range}`;
  });
  const total = (attachments ?? []).reduce((sum, { count: of }) => sum + of, 0);
  const each = (attachments ?? []).map(({ network, count: of }) => `${network} ${of}`).join(", ");
  return [
    ["addresses", use.length === 0 ? null : use.join("\n")],
    ["attachments", attachments === null ? null : total === 0 ? "0" : `${total} (${each})`],
  ];
}

function repairRows({ report, takenAt }: SeenNode): Row[] {
  const repairs = report?.repairs ?? [];
  if (repairs.length === 0) return [];
  const shown = repairs.slice(-MOST_REPAIRS).toReversed();
  const lines = shown.map(({ at, object, cause, count: of, change }) => {
    const many = of === 1 ? object : `${of} × ${object}`;
    return `${ageOf(at, takenAt)} ago, ${many} (${cause}): ${change}`;
  });
  return [["repairs", lines.join("\n")]];
}

/** At most so many lines of a list, with its title; empty without items. */
export function formatList(
  title: string,
  items: readonly string[],
  paint: (text: string) => string,
  width: number | null,
  most = MOST_WRONG,
): string[] {
  if (items.length === 0) return [];
  const shown = items.slice(0, most).flatMap((item) => {
    const [first = "", ...rest] = wrap(item, width, HANGING);
    return [`  ${first.slice(HANGING.length)}`, ...rest];
  });
  const more = items.length > most ? [`  and ${items.length - most} more: --json`] : [];
  return ["", paint(`${title} (${items.length})`), ...shown, ...more];
}
