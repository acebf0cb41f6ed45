import { isInRange, type Range } from "../ipam/range.ts";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import { deletePod, type IpamFault, releaseCommand } from "./ipam-fault.ts";
import { judgeRecords } from "./ipam-records.ts";
import {
  describeHolder,
  type HolderState,
  hasLeakCheck,
  holderOf,
  shortId,
  stateOfReservation,
} from "./ipam-states.ts";
import type { Ipam, IpamNetwork, IpamRange, IpamReservation, IpamSet } from "./sections/ipam.ts";
import { countOf, someOf } from "./some.ts";

/** All that does not fit, network by network, the worst kinds first. Foreign stores are not judged. */
export function findIpamFaults(ipam: Ipam): IpamFault[] {
  return ipam.networks
    .filter(({ kind }) => kind === "ours")
    .flatMap((network) => [
      ...judgeSets(network),
      ...judgeRecords(network),
      ...network.reservations.flatMap((it) => judgeReservation(it, network, ipam)),
      ...network.reservations.flatMap((it) => judgePlace(it, network)),
    ]);
}

function judgeSets(network: IpamNetwork): IpamFault[] {
  return network.sets.flatMap((set) => [...judgeRoom(set, network), ...judgeBitmap(set, network)]);
}

function judgeRoom({ text, free, held }: IpamSet, network: IpamNetwork): IpamFault[] {
  if (free > 0) return [];
  const dead = network.reservations.filter((it) => stateOfReservation(it, network) !== "live").length;
  return [
    {
      kind: "full",
      level: "fail",
      network: network.network,
      address: null,
      message: `no address is left of ${text}: ${held} are held, ${dead} of them not by a pod that lives`,
      evidence: [`${network.store}: ${countOf(network.reservations.length, "reservation")}`],
      fix: dead > 0 ? "minicni ipam verify" : "# remove pods, or give this node a larger pod CIDR",
    },
  ];
}

function judgeBitmap({ bitmap }: IpamSet, network: IpamNetwork): IpamFault[] {
  if (bitmap === null) return [];
  const { file, extra, missing } = bitmap;
  const words = { kind: "bitmap", network: network.network, address: null, fix: `rm ${file}` } as const;
  return [
    ...(extra.length === 0
      ? []
      : [
          {
            ...words,
            level: "warn" as const,
            message: `${countOf(extra.length, "free address", "free addresses")} of ${network.store} counted as used`,
            evidence: [`${file}: taken, and there is no file: ${someOf(extra)}`],
          },
        ]),
    ...(missing.length === 0
      ? []
      : [
          {
            ...words,
            level: "note" as const,
            message: `${countOf(missing.length, "held address", "held addresses")} of ${network.store} counted as free`,
            evidence: [`${file}: free, and there is a file: ${someOf(missing)}`],
          },
        ]),
  ];
}

/** What the state of a reservation's holder means; null: nothing is wrong, or something that its record tells of. */
const MEANING: Readonly<Record<HolderState, Pick<IpamFault, "kind" | "level"> | null>> = {
  live: null,
  busy: null,
  "not ours": null,
  "cut off": { kind: "cut off", level: "fail" },
  "no record": { kind: "no record", level: "warn" },
  "netns gone": { kind: "leak", level: "warn" },
  forgotten: { kind: "leak", level: "warn" },
  unfinished: { kind: "leak", level: "warn" },
  "other boot": { kind: "other boot", level: "note" },
  torn: { kind: "torn", level: "warn" },
  surplus: { kind: "leak", level: "warn" },
};

function judgeReservation(reservation: IpamReservation, network: IpamNetwork, ipam: Ipam): IpamFault[] {
  const state = stateOfReservation(reservation, network);
  const meaning = MEANING[state];
  if (meaning === null) return [];
  const { address, file, since, containerId, ifname } = reservation;
  const holder = holderOf(reservation, network);
  const names =
    holder === null ? `container ${shortId(containerId ?? "")} ${ifname}`.trimEnd() : describeHolder(holder);
  const netns = holder?.netns ?? null;
  // Where nothing can tell whether a pod lives it may be one that another plugin made before us.
  const isUnknown = state === "no record" && holder?.hostVeth === null && holder.record !== "torn";
  return [
    {
      ...meaning,
      ...(isUnknown ? { level: "note" as const } : {}),
      network: network.network,
      address,
      message: `${address} ${messageOf(state, names, holder?.hostVeth?.name ?? null)}`,
      evidence: [
        `${file}: ${containerId ?? "names nobody"}${ifname === "" ? "" : ` ${ifname}`}, since ${since}`,
        ...(netns === null ? [] : [`namespace ${netns}: ${holder?.netnsState ?? "unknown"}`]),
      ],
      fix: fixOf(state, reservation, network, ipam),
    },
  ];
}

function messageOf(state: HolderState, holder: string, hostVeth: string | null): string {
  switch (state) {
    case "cut off":
      return `is held by ${holder}, whose host-side veth somebody removed: it has no network`;
    case "no record":
      return hostVeth === null
        ? `is held by ${holder}, of which there is neither a record nor a veth`
        : `is held by ${holder}, whose record can't be read or is lost (its veth ${hostVeth} is there)`;
    case "netns gone":
      return `is held by ${holder}, whose network namespace is gone`;
    case "forgotten":
      return `is held by ${holder}, which has neither record nor veth, and which the runtime does not know`;
    case "unfinished":
      return `is held by ${holder}, whose ADD was killed half way`;
    case "other boot":
      return `is held by ${holder} of another boot`;
    case "surplus":
      return `is reserved for ${holder}, whose record does not name it`;
    default:
      return "is reserved by a file that names nobody (a torn write)";
  }
}

function fixOf(state: HolderState, reservation: IpamReservation, network: IpamNetwork, ipam: Ipam): string {
  const { address } = reservation;
  const holder = holderOf(reservation, network);
  const release = releaseCommand(network, address);
  if (state === "cut off") return deletePod(holder?.pod ?? null);
  if (state === "no record") {
    if (holder?.hostVeth !== null || holder.record === "torn") return deletePod(holder?.pod ?? null);
    return `${releaseCommand(network, address, true)} # once no pod has this address`;
  }
  // The agent looks for attachments by their records, and for stores of another boot.
  const isSeenByAgent = state === "other boot" || (holder !== null && holder.record !== null);
  if (!isSeenByAgent || !hasLeakCheck(ipam) || state === "torn" || state === "surplus") return release;
  const seconds = Math.ceil((ipam.leakGraceMs ?? 0) / 1000);
  return `${release} # or wait: the agent's leak check removes it after ${seconds} s`;
}

/** An address of a range that is not configured any more, as of an earlier pod CIDR: no peer has a route to it. */
function judgePlace(reservation: IpamReservation, network: IpamNetwork): IpamFault[] {
  const state = stateOfReservation(reservation, network);
  const address = parseAddress(reservation.address);
  if (network.sets.length === 0 || address === null || state === "other boot" || state === "torn") return [];
  const ranges = network.sets.flatMap((set) => set.ranges.flatMap((range) => toRange(range) ?? []));
  if (ranges.some((range) => isInRange(range, address))) return [];
  const holder = holderOf(reservation, network);
  return [
    {
      kind: "outside",
      level: "warn",
      network: network.network,
      address: reservation.address,
      message: `${reservation.address} is in no range of ${network.network}`,
      evidence: [
        `${reservation.file}: ${reservation.containerId ?? ""} ${reservation.ifname}`.trimEnd(),
        ...network.sets.map(({ text }) => `range ${text}`),
      ],
      fix: state === "live" ? deletePod(holder?.pod ?? null) : releaseCommand(network, reservation.address),
    },
  ];
}

function toRange({ subnet, first, last, gateway }: IpamRange): Range | null {
  const [net, start, end, via] = [
    parsePrefix(subnet),
    parseAddress(first),
    parseAddress(last),
    parseAddress(gateway),
  ];
  return net && start && end && via && { subnet: net, start, end, gateway: via };
}
