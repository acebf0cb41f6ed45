import type { Ipam, IpamNetwork } from "../../../doctor/sections/ipam.ts";
import { messageOf } from "../../../host/errors.ts";
import { observeStore, type StoredReservation } from "../../../host/ipam-store.ts";
import type { Host } from "../../../host/machine.ts";
import { readRecord, recordedAttachments } from "../../../host/records.ts";
import { formatAddress } from "../../../net/address.ts";
import type { AgentReport } from "../../agent/report.ts";
import { indexVeths, observeAttachments } from "./attachments.ts";
import { readRuntimeCache } from "./runtime-cache.ts";
import { observeSets } from "./sets.ts";
import { findStores, type IpamPlaces, type Store } from "./stores.ts";

export type { IpamPlaces } from "./stores.ts";

/** Calls come and go meanwhile: looked at again until nothing has changed, and at last as it is. */
const MOST_LOOKS = 5;
const PAUSE_MS = 100;

/**
 * Who holds which address of all networks, by all that can tell. Changes nothing and holds no lock. What can't be read is
 * told in `faults`, and keeps no other network from being seen.
 */
export async function observeIpam(places: IpamPlaces, agent: AgentReport | null, host: Host): Promise<Ipam> {
  const { stores, faults } = findStores(places, host);
  const networks: IpamNetwork[] = [];
  for (const store of stores) {
    try {
      networks.push(await observeNetwork(store, places, host));
    } catch (error) {
      faults.push(`${store.network}: ${messageOf(error)}`);
    }
  }
  return { leakGraceMs: graceOf(agent, host), networks, faults };
}

function graceOf(agent: AgentReport | null, host: Host): number | null {
  const isAtWork = agent !== null && agent.stoppedAt === null && agent.bootId === host.bootId();
  return isAtWork ? agent.settings.leakGraceMs : null;
}

async function observeNetwork(store: Store, places: IpamPlaces, host: Host): Promise<IpamNetwork> {
  for (let look = 1; ; look++) {
    const before = stamp(store, places, host);
    const seen = await observeOnce(store, places, host);
    if (look === MOST_LOOKS || stamp(store, places, host) === before) return seen;
    await host.sleep(PAUSE_MS);
  }
}

/** What changes with every ADD and DEL. */
function stamp(store: Store, places: IpamPlaces, host: Host): string {
  const { names, records } = filesOf(store, places, host);
  return JSON.stringify([names, records.map(({ record }) => [record?.phase, record?.addresses])]);
}

function filesOf({ network, dataDirs, isOurs }: Store, { stateDir }: IpamPlaces, host: Host) {
  const keys = isOurs ? recordedAttachments(host, stateDir, network) : [];
  const records = keys.map((key) => ({ key, record: readRecord(host, stateDir, key) }));
  const recorded = records.flatMap(({ record }) =>
    record === null || record.ipam !== null ? [] : [record.dataDir],
  );
  const all = [...new Set([...dataDirs, ...recorded])];
  return { records, dataDirs: all, names: all.map((folder) => host.listFolder(`${folder}/${network}`)) };
}

async function observeOnce(store: Store, places: IpamPlaces, host: Host): Promise<IpamNetwork> {
  const { network, isOurs, sets } = store;
  const { dataDirs } = filesOf(store, places, host);
  const [first = places.storeDir] = dataDirs;
  const found = dataDirs.flatMap((dataDir) =>
    observeStore(host, `${dataDir}/${network}`).map((reservation) => ({ dataDir, ...reservation })),
  );
  const links = host.links();
  const traces = {
    stateDir: places.stateDir,
    links,
    veths: indexVeths(links),
    cache: readRuntimeCache(places.cacheDir, host),
    ownNamespace: host.namespaceId("/proc/self/ns/net"),
  };
  const owners = found.flatMap(({ owner }) => owner ?? []);
  const reserved = found.filter(({ dataDir }) => dataDir === first).map(({ address }) => address);
  return {
    network,
    kind: isOurs ? "ours" : "foreign",
    conf: store.file,
    ipam: store.ipam,
    store: `${first}/${network}`,
    sets: observeSets(sets, `${first}/${network}`, reserved, host),
    reservations: found.map(describeReservation),
    attachments: await observeAttachments(network, isOurs, owners, traces, host),
  };
}

function describeReservation({
  address,
  file,
  dataDir,
  owner,
  sinceMs,
  isOtherBoot,
}: StoredReservation & { readonly dataDir: string }): IpamNetwork["reservations"][number] {
  return {
    address: formatAddress(address),
    file,
    dataDir,
    containerId: owner?.containerId ?? null,
    ifname: owner?.ifname ?? "",
    since: new Date(sinceMs).toISOString(),
    isOtherBoot,
  };
}
