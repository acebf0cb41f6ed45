import { delegateOf, type NetConf } from "../../../cni/config.ts";
import { describeHolder } from "../../../doctor/ipam-states.ts";
import { messageOf } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { readRecord, recordedAttachments } from "../../../host/records.ts";
import type { Range } from "../../../ipam/range.ts";
import { addressOfFile, parseReservation } from "../../../ipam/reservation.ts";
import { formatAddress } from "../../../net/address.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import { type HeldAddress, mapCells, type RangeMap } from "../../admin/ipam/cells.ts";
import type { CachedAdd } from "../../admin/ipam/runtime-cache.ts";
import { formatKey } from "../../call.ts";
import { configuredRanges } from "../../desired.ts";
import { deadAttachments } from "../../gc.ts";
import { findPublished } from "../../node.ts";
import { knownNetworks } from "../networks.ts";

/** What the page shows of addresses, as `/pool.json` has it. */
export interface PoolDocument {
  /** What could not be looked at. */
  readonly faults: readonly string[];
  readonly ranges: readonly (RangeMap & { readonly network: string })[];
  readonly attachments: readonly PoolAttachment[];
}

interface PoolAttachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  /** `namespace/name`; empty: not known. */
  readonly pod: string;
  readonly addresses: readonly string[];
  /** What is odd about it; empty: nothing. */
  readonly note: string;
}

/** Reservations whose holder is read: a network with more of them is shown without the others' names. */
const MOST_HOLDERS = 2_000;
const ODD = "looks dead: the agent takes it away after its grace period";

/**
 * The ranges of this node's networks with who holds what, by reservations and records alone: no namespace is entered, no
 * lock taken. An attachment is marked by what the leak check goes by. `cached`: what the runtime keeps of its ADDs, for the
 * names of pods. Throws nothing.
 */
export function describePool(
  settings: { readonly stateDir: string; readonly confDir: string },
  cached: readonly CachedAdd[],
  host: Host,
): PoolDocument {
  const pods: Pods = new Map(cached.map((add) => [formatKey(add), add.pod]));
  const ranges: (RangeMap & { network: string })[] = [];
  const attachments: PoolAttachment[] = [];
  const faults: string[] = [];
  try {
    const known = knownNetworks(host, settings);
    faults.push(...known.faults);
    for (const { conf } of known.networks) {
      try {
        const found = lookAt(conf, pods, host);
        ranges.push(...found.ranges);
        attachments.push(...found.attachments);
      } catch (error) {
        faults.push(`${conf.network}: ${messageOf(error)}`);
      }
    }
  } catch (error) {
    faults.push(messageOf(error));
  }
  return { faults, ranges, attachments };
}

/** By {@link formatKey}. */
type Pods = ReadonlyMap<string, CachedAdd["pod"]>;

function lookAt(conf: NetConf, pods: Pods, host: Host): Pick<PoolDocument, "ranges" | "attachments"> {
  const { network, stateDir } = conf;
  const dead = new Set(deadAttachments(conf, null, host).map(formatKey));
  const attachments = recordedAttachments(host, stateDir, network).map((key) => {
    const { containerId, ifname } = key;
    const record = readRecord(host, stateDir, key);
    const note = dead.has(formatKey(key)) ? ODD : record?.phase === "complete" ? "" : "being made";
    const known = pods.get(formatKey(key));
    const pod = known == null ? "" : `${known.namespace}/${known.name}`;
    return { network, containerId, ifname, pod, addresses: record?.addresses ?? [], note };
  });
  if (delegateOf(conf) !== null) return { ranges: [], attachments };
  const held = readHeld(conf, dead, pods, host);
  const sets = configuredRanges(conf, () => findPublished(stateDir, host)?.podCidrs ?? []);
  const ranges = sets.flat().map((range) => ({ network, ...mapCells(toText(range), held, null) }));
  return { ranges, attachments };
}

/** The reservations of a network. Those beyond {@link MOST_HOLDERS} have no holder's name: each is a file to be read. */
function readHeld(
  { dataDir, network }: NetConf,
  dead: ReadonlySet<string>,
  pods: Pods,
  host: Host,
): HeldAddress[] {
  const folder = `${dataDir}/${network}`;
  const names = host.listFolder(folder).filter((name) => addressOfFile(name) !== null);
  return names.map((name, index) => {
    if (index >= MOST_HOLDERS) return { address: name, holder: "", isLeaked: false };
    const owner = parseReservation(host.readFile(`${folder}/${name}`) ?? "");
    if (owner === null) return { address: name, holder: "nobody", isLeaked: true };
    const key = formatKey({ network, ...owner });
    const holder = describeHolder({ ...owner, pod: pods.get(key) ?? null });
    return { address: name, holder, isLeaked: dead.has(key) };
  });
}

function toText({ subnet, start, end, gateway }: Range) {
  return {
    subnet: formatPrefix(subnet),
    first: formatAddress(start),
    last: formatAddress(end),
    gateway: formatAddress(gateway),
  };
}
