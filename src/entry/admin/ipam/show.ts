import {
  type HolderState,
  holderOf,
  isDead,
  shortId,
  stateOfReservation,
} from "../../../doctor/ipam-states.ts";
import type { Ipam, IpamNetwork, IpamSet } from "../../../doctor/sections/ipam.ts";
import { formatBar, formatShare } from "../../output/bar.ts";
import type { Paint } from "../../output/paint.ts";
import type { Screen } from "../../output/screen.ts";
import { formatTable } from "../../output/table.ts";
import { count, formatSpan, wrap } from "../../output/text.ts";

/** Who holds one address. JSON-able. */
export interface Holding {
  readonly address: string;
  readonly state: HolderState;
  /** Null: the file names nobody. */
  readonly containerId: string | null;
  readonly ifname: string;
  readonly pod: { readonly namespace: string; readonly name: string } | null;
  readonly hostVeth: string | null;
  readonly netns: string | null;
  /** RFC 3339. */
  readonly since: string;
}

/** A network, its ranges and who holds what of them. JSON-able. */
export interface NetworkHoldings {
  readonly network: string;
  readonly kind: IpamNetwork["kind"];
  readonly conf: string | null;
  readonly store: string;
  /** Another plugin that gives the addresses; null: ours. */
  readonly ipam: string | null;
  readonly ranges: readonly Omit<IpamSet, "bitmap" | "ranges">[];
  readonly holdings: readonly Holding[];
}

/** What is asked for; null: everything. */
export interface HoldingFilter {
  readonly network: string | null;
  readonly address: string | null;
  /** Beginning of a container ID. */
  readonly container: string | null;
}

/** Who holds what. With an address or a container only networks that have it are told. */
export function describeHoldings(
  ipam: Ipam,
  { network, address, container }: HoldingFilter,
): NetworkHoldings[] {
  const isWanted = (it: Holding) =>
    (address === null || it.address === address) &&
    (container === null || it.containerId?.startsWith(container) === true);
  const found = ipam.networks
    .filter((it) => network === null || it.network === network)
    .map(
      (it): NetworkHoldings => ({
        network: it.network,
        kind: it.kind,
        conf: it.conf,
        store: it.store,
        ipam: it.ipam,
        ranges: it.sets.map(({ bitmap: _bitmap, ranges: _ranges, ...set }) => set),
        holdings: it.reservations.map((reservation) => describeHolding(reservation, it)).filter(isWanted),
      }),
    );
  const isFiltered = address !== null || container !== null;
  return isFiltered ? found.filter(({ holdings }) => holdings.length > 0) : found;
}

function describeHolding(reservation: IpamNetwork["reservations"][number], network: IpamNetwork): Holding {
  const { address, containerId, ifname, since } = reservation;
  const holder = holderOf(reservation, network);
  return {
    address,
    state: stateOfReservation(reservation, network),
    containerId,
    ifname: ifname || (holder?.ifname ?? ""),
    pod: holder?.pod ?? null,
    hostVeth: holder?.hostVeth?.name ?? null,
    netns: holder?.netns ?? null,
    since,
  };
}

const INDENT = "  ";
const BAR = 20;
const COLUMNS = [
  { title: "ADDRESS" },
  { title: "STATE" },
  { title: "POD" },
  { title: "CONTAINER" },
  { title: "IFNAME" },
  { title: "HOST VETH" },
  { title: "AGE", align: "right" },
] as const;

/** A block for each network: its ranges with a bar each, then who holds what. `now`: milliseconds since 1970. */
export function formatHoldings(
  networks: readonly NetworkHoldings[],
  now: number,
  style: Pick<Screen, "width" | "paint">,
): string {
  if (networks.length === 0) return "no address is held\n";
  const lines = networks.flatMap((network) => [...formatNetwork(network, now, style), ""]);
  return `${lines.join("\n").trimEnd()}\n`;
}

function formatNetwork(
  { network, kind, conf, store, ipam, ranges, holdings }: NetworkHoldings,
  now: number,
  style: Pick<Screen, "width" | "paint">,
): string[] {
  const { width, paint } = style;
  const whose = kind === "foreign" ? ", of another plugin" : ipam === null ? "" : `, addresses by ${ipam}`;
  // Without a pod's name the column is only room lost.
  const hasPods = holdings.some(({ pod }) => pod !== null);
  const columns = COLUMNS.filter(({ title }) => hasPods || title !== "POD");
  const rows = holdings.map((it) => cellsOf(it, now, paint).filter((_cell, index) => hasPods || index !== 2));
  return [
    ...wrap(`${paint.bold(network)}  ${store}${conf === null ? "" : `, ${conf}`}${whose}`, width),
    ...ranges.flatMap((range) => formatSet(range, width)),
    ...(ranges.length === 0 ? wrap(paint.dim("its ranges are not known"), width, INDENT) : []),
    ...(rows.length === 0
      ? wrap(paint.dim("no address is held"), width, INDENT)
      : formatTable(columns, rows, style)),
  ];
}

function formatSet(
  { text, held, free, next, reserved }: NetworkHoldings["ranges"][number],
  width: number | null,
): string[] {
  const total = held + free;
  const figures = `${formatBar(held, total, BAR)} ${formatShare(held, total)}`;
  const words = `${held} held, ${free} free, ${count(reserved, "gateway")}, next ${next ?? "none"}`;
  const line = `${text}  ${figures}  ${words}`;
  if (width === null || INDENT.length + line.length <= width) return [INDENT + line];
  return [text, figures, words].flatMap((part) => wrap(part, width, INDENT));
}

function cellsOf(holding: Holding, now: number, paint: Paint): string[] {
  const { address, state, containerId, ifname, pod, hostVeth, since } = holding;
  return [
    address,
    painterOf(state, paint)(state),
    pod === null ? "" : `${pod.namespace}/${pod.name}`,
    containerId === null ? "" : shortId(containerId),
    ifname,
    hostVeth ?? "",
    formatSpan(Math.max(0, now - Date.parse(since))),
  ];
}

function painterOf(state: HolderState, paint: Paint): (text: string) => string {
  if (state === "live") return paint.good;
  if (isDead(state) || state === "cut off") return paint.bad;
  return state === "busy" || state === "not ours" ? paint.dim : paint.warn;
}

/** What the blocks amount to, for a last line. */
export function sumOf(networks: readonly NetworkHoldings[]): string {
  const all = networks.flatMap(({ holdings }) => holdings);
  const dead = all.filter(({ state }) => isDead(state)).length;
  return `${count(all.length, "address", "addresses")} held${dead === 0 ? "" : `, ${dead} by nobody who lives`}`;
}
