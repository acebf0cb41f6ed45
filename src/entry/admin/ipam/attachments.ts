import type { IpamAttachment } from "../../../doctor/sections/ipam.ts";
import { observeAddresses, observeLink } from "../../../host/links.ts";
import { isCallUnderWay } from "../../../host/lock-probe.ts";
import type { Host } from "../../../host/machine.ts";
import { inNetns } from "../../../host/netns.ts";
import {
  type AttachmentRecord,
  hasRecordFile,
  readRecord,
  recordedAttachments,
} from "../../../host/records.ts";
import type { AttachmentKey, Owner } from "../../../ipam/reservation.ts";
import { formatAddress } from "../../../net/address.ts";
import { hostVethName, isHostVethName } from "../../../net/ifname.ts";
import type { ObservedLink } from "../../../plan/state.ts";
import { parseVethAlias } from "../../../topology/alias.ts";
import { attachmentLock, formatKey } from "../../call.ts";
import { isNetnsFile } from "../../gc.ts";
import { type CachedAdd, isCached, type RuntimeCache } from "./runtime-cache.ts";

/** What attachments are told by. */
export interface Traces {
  readonly stateDir: string;
  readonly links: readonly ObservedLink[];
  /** See {@link indexVeths}. */
  readonly veths: ReadonlyMap<string, ObservedLink>;
  /** Null: the runtime keeps nothing. */
  readonly cache: RuntimeCache | null;
  /** Our own namespace: nobody's pod. */
  readonly ownNamespace: string | null;
}

/**
 * Every attachment of a network that anything tells of: a record, a host-side veth, a reservation. `isOurs`: another
 * plugin's have neither record nor veth of ours.
 */
export async function observeAttachments(
  network: string,
  isOurs: boolean,
  owners: readonly Owner[],
  traces: Traces,
  host: Host,
): Promise<IpamAttachment[]> {
  const keys = new Map<string, AttachmentKey>();
  const add = (key: AttachmentKey) => keys.set(formatKey(key), key);
  if (isOurs) {
    for (const key of recordedAttachments(host, traces.stateDir, network)) add(key);
    for (const { name, alias } of traces.links) {
      const key = isHostVethName(name) ? parseVethAlias(alias) : null;
      if (key?.network === network) add(key);
    }
  }
  const known = new Set([...keys.values()].map(({ containerId }) => containerId));
  for (const owner of owners) {
    if (owner.ifname !== "" || !known.has(owner.containerId)) add({ network, ...owner });
  }
  const found: IpamAttachment[] = [];
  for (const key of keys.values()) found.push(await observeAttachment(key, isOurs, traces, host));
  return found;
}

async function observeAttachment(
  key: AttachmentKey,
  isOurs: boolean,
  traces: Traces,
  host: Host,
): Promise<IpamAttachment> {
  const { stateDir, cache } = traces;
  const record = isOurs ? readRecord(host, stateDir, key) : null;
  const isTorn = isOurs && record === null && hasRecordFile(host, stateDir, key);
  const cached = cache?.adds.find((it) => isSameAttachment(it, key)) ?? null;
  const hostVeth = isOurs ? vethOf(key, traces) : null;
  const netns = record?.netns || cached?.netns || null;
  const ifname = key.ifname || cached?.ifname || "";
  const netnsState = stateOf(netns, hostVeth !== null, host);
  const looksFine = record?.phase === "complete" && (hostVeth !== null || record.kind === "ipam");
  return {
    containerId: key.containerId,
    ifname,
    record: isTorn ? "torn" : record && describeRecord(record, host),
    hostVeth,
    netns,
    netnsState,
    podAddresses:
      netns !== null && netnsState === "there"
        ? lookInto(netns, ifname, record, traces.ownNamespace, host)
        : null,
    pod: cached?.pod ?? null,
    isCached: cache === null ? null : isCached(cache, key),
    isBusy:
      isOurs && !looksFine && (await isCallUnderWay(host, attachmentLock({ stateDir }), formatKey(key))),
  };
}

function isSameAttachment(cached: CachedAdd, key: AttachmentKey): boolean {
  const isSame = cached.network === key.network && cached.containerId === key.containerId;
  return isSame && (cached.ifname === key.ifname || key.ifname === "");
}

function describeRecord(record: AttachmentRecord, host: Host): IpamAttachment["record"] {
  const { phase, kind, addresses, ipam, dataDir } = record;
  return {
    phase,
    kind,
    isOtherBoot: record.bootId !== host.bootId(),
    addresses: [...addresses],
    ipam,
    dataDir,
  };
}

/** By its name or by its alias, whatever its name is now. */
function vethOf(key: AttachmentKey, { links, veths }: Traces): IpamAttachment["hostVeth"] {
  const link = veths.get(hostVethName(key.network, key.containerId, key.ifname)) ?? veths.get(formatKey(key));
  if (link === undefined) return null;
  const bridge = links.find(({ index }) => index === link.masterIndex);
  return { name: link.name, bridge: bridge?.name ?? null };
}

/** Veths by their names, and by whose their alias says that they are. */
export function indexVeths(links: readonly ObservedLink[]): Map<string, ObservedLink> {
  const found = new Map<string, ObservedLink>();
  for (const link of links) {
    if (link.kind !== "veth") continue;
    found.set(link.name, link);
    const key = parseVethAlias(link.alias);
    if (key !== null) found.set(formatKey(key), link);
  }
  return found;
}

/** As GC judges it (gc.ts): a path below /proc may be another process's by now, unless its veth is there still. */
function stateOf(netns: string | null, hasVeth: boolean, host: Host): IpamAttachment["netnsState"] {
  if (netns === null || !netns.startsWith("/")) return "unknown";
  if (host.namespaceId(netns) !== null && host.isNetns(netns)) {
    return isNetnsFile({ netns }) || hasVeth ? "there" : "unknown";
  }
  // A container of its own sees an empty folder.
  const folder = netns.slice(0, netns.lastIndexOf("/"));
  return isNetnsFile({ netns }) && host.listFolder(folder).length > 0 ? "gone" : "unknown";
}

/** Addresses of the pod's interface, link-local ones left out; null where it can't be looked at. */
function lookInto(
  netns: string,
  ifname: string,
  record: AttachmentRecord | null,
  ownNamespace: string | null,
  host: Host,
): string[] | null {
  if (host.namespaceId(netns) === ownNamespace) return null;
  try {
    return inNetns(netns, () => {
      const link = observeLink(ifname);
      if (link === null) return null;
      const isOther = record !== null && !isNetnsFile(record) && link.mac !== record.podMac;
      if (isOther) return null;
      return observeAddresses(link.index).flatMap(({ prefix, linkLocal }) =>
        linkLocal ? [] : [formatAddress(prefix.address)],
      );
    });
  } catch {
    return null;
  }
}
