import type { Screen } from "../../output/screen.ts";
import { formatTable } from "../../output/table.ts";
import { count, formatSpan, wrap } from "../../output/text.ts";
import type { ClusterRow } from "./cluster.ts";
import { formatList } from "./node.ts";

const COLUMNS = [
  { title: "NODE" },
  { title: "ADDRESS" },
  { title: "POD CIDRS" },
  { title: "PATH" },
  { title: "ROUTE", align: "right" },
  { title: "READY" },
  { title: "AGENT" },
  { title: "ROUTES", align: "right" },
  { title: "SYNC", align: "right" },
  { title: "WRONG", align: "right" },
] as const;

/** Lines about what is wrong; with more of them nobody reads on. */
const MOST_WRONG = 100;

/** What is told besides the rows. */
export interface ClusterWords {
  /** Where the Nodes are from. */
  readonly source: string;
  readonly isLive: boolean;
  /** Why a better source was of no use; null: none was. */
  readonly fault: string | null;
  /** Why agents were not asked; null: they were. */
  readonly notAsked: string | null;
  readonly isFaultyOnly: boolean;
}

/** A row per Node, what is wrong with which, and the sum of it. */
export function formatCluster(
  rows: readonly ClusterRow[],
  words: ClusterWords,
  style: Pick<Screen, "width" | "paint">,
): string {
  const { width, paint } = style;
  const faulty = rows.filter(({ wrong }) => wrong.length > 0);
  const shown = words.isFaultyOnly ? faulty : rows;
  const table =
    shown.length === 0
      ? []
      : formatTable(
          COLUMNS,
          shown.map((row) => cellsOf(row, paint)),
          style,
        );
  const lines = [
    ...table,
    ...formatList(
      "wrong",
      faulty.flatMap(({ name, wrong }) => wrong.map((message) => `${name}: ${message}`)),
      paint.bad,
      width,
      MOST_WRONG,
    ),
    "",
    ...wrap(formatSource(words, paint), width),
    ...(words.notAsked === null
      ? []
      : wrap(paint.dim(`agents of other nodes were not asked: ${words.notAsked}`), width)),
    ...wrap(formatSum(rows, faulty.length, words.notAsked === null, paint), width),
  ];
  return `${(table.length === 0 && faulty.length === 0 ? lines.slice(1) : lines).join("\n")}\n`;
}

function formatSource({ source, isLive, fault }: ClusterWords, paint: Screen["paint"]): string {
  const kept = isLive ? "" : paint.warn(", which may be old");
  return `Nodes from ${source}${kept}${fault === null ? "" : paint.warn(` (${fault})`)}`;
}

function formatSum(
  rows: readonly ClusterRow[],
  faulty: number,
  isAsked: boolean,
  { good, bad }: Screen["paint"],
): string {
  const ways = (["direct", "tunnel", "none"] as const).map(
    (path) => rows.filter((row) => row.path === path).length,
  );
  const [direct = 0, tunnel = 0, none = 0] = ways;
  const asked = rows.filter(({ wasAsked }) => wasAsked);
  const versions = new Map<string, number>();
  for (const { agent } of asked)
    if (agent !== null) versions.set(agent.version, (versions.get(agent.version) ?? 0) + 1);
  const each = [...versions].map(([version, of]) => `${of} × ${version}`).join(", ");
  const answered = asked.filter(({ agent }) => agent !== null).length;
  const verdict = faulty === 0 ? good("nothing wrong") : bad(`something wrong with ${faulty}`);
  return [
    `${count(rows.length, "Node")}, ${verdict}`,
    `from here ${direct} direct, ${tunnel} by tunnel, ${none} not reached`,
    ...(!isAsked
      ? []
      : [`${answered} of ${count(asked.length, "agent")} answered${each === "" ? "" : ` (${each})`}`]),
  ].join("; ");
}

function cellsOf(row: ClusterRow, { bad, dim, good }: Screen["paint"]): string[] {
  const { path, routes, agent, wasAsked, ready, wrong } = row;
  const ratio = ({ have, want }: { readonly have: number; readonly want: number }) =>
    have < want ? bad(`${have}/${want}`) : `${have}/${want}`;
  const sync = agent === null ? "" : agent.lastSyncMs === null ? bad("none") : formatSpan(agent.lastSyncMs);
  return [
    wrong.length > 0 ? bad(row.name) : row.name,
    row.addresses.join(","),
    row.podCidrs.join(","),
    path === null ? "" : path === "none" ? bad(path) : path,
    routes === null ? "" : ratio(routes),
    ready === null ? "" : ready === "True" ? good("yes") : bad(ready === "False" ? "no" : "?"),
    agent !== null ? agent.version : wasAsked ? bad("no answer") : dim("not asked"),
    agent === null ? "" : ratio(agent.routes),
    sync,
    wrong.length === 0 ? "" : bad(String(wrong.length)),
  ];
}
