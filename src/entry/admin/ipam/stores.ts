import { delegateOf, type NetConf, OWN_TYPE, parseNetConf } from "../../../cni/config.ts";
import { messageOf } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { recordedAttachments } from "../../../host/records.ts";
import type { RangeSet } from "../../../ipam/range.ts";
import { addressOfFile } from "../../../ipam/reservation.ts";
import { OWN_NETWORK } from "../../../topology/conflist.ts";
import { type KnownNetwork, knownNetworks, pluginsIn, readLists } from "../../agent/networks.ts";
import { configuredRanges } from "../../desired.ts";
import { findPublished } from "../../node.ts";

/** Where to look. */
export interface IpamPlaces {
  readonly stateDir: string;
  /** Folder of the conflists; empty: none. */
  readonly confDir: string;
  /** Folder with stores of other plugins and of networks that nothing else names. */
  readonly storeDir: string;
  /** Where the runtime keeps the results of its ADDs: `/var/lib/cni`. */
  readonly cacheDir: string;
}

/** A network with addresses on this node. */
export interface Store {
  readonly network: string;
  readonly isOurs: boolean;
  /** Of ours: what a plugin would be called with. */
  readonly known: KnownNetwork | null;
  readonly file: string | null;
  /** The IPAM plugin that the configuration names; null: the built-in store. */
  readonly ipam: string | null;
  /** Folders of reservations, the configured one first, then those that records name. */
  readonly dataDirs: readonly string[];
  readonly sets: readonly RangeSet[];
}

/** Every network of ours, and the stores of others in `storeDir`; with what could not be read. */
export function findStores(
  places: IpamPlaces,
  host: Host,
): { readonly stores: Store[]; readonly faults: string[] } {
  const { networks, faults } = knownNetworks(host, places);
  const configured = readConfigured(places.confDir, host);
  const found = [...networks];
  for (const { known, isOurs } of configured) {
    const isNew = !found.some(({ conf }) => conf.network === known.conf.network);
    if (isOurs && isNew && known.conf.stateDir === places.stateDir) found.push(known);
  }
  const stores = found
    .map((known) => storeOf(known, true, places, faults, host))
    .filter((store) => store.network !== OWN_NETWORK || isThere(store, places, host));
  const taken = new Set(
    stores.flatMap(({ network, dataDirs }) => dataDirs.map((folder) => `${folder}/${network}`)),
  );
  for (const network of host.listFolder(places.storeDir)) {
    if (taken.has(`${places.storeDir}/${network}`) || !isStore(`${places.storeDir}/${network}`, host))
      continue;
    const conf = configured.find(({ known }) => known.conf.network === network);
    stores.push(
      conf === undefined
        ? {
            network,
            isOurs: false,
            known: null,
            file: null,
            ipam: null,
            dataDirs: [places.storeDir],
            sets: [],
          }
        : storeOf(conf.known, false, places, faults, host),
    );
  }
  return { stores: stores.sort((a, b) => (a.network < b.network ? -1 : 1)), faults };
}

/** The agent's network counts as there wherever somebody could have an address of it. */
function isThere({ file, sets }: Store, { stateDir, storeDir }: IpamPlaces, host: Host): boolean {
  if (file !== null || sets.length > 0) return true;
  const hasRecords = recordedAttachments(host, stateDir, OWN_NETWORK).length > 0;
  return hasRecords || isStore(`${storeDir}/${OWN_NETWORK}`, host);
}

/** A name that an address has, or host-local's cursor. */
function isStore(folder: string, host: Host): boolean {
  try {
    return host
      .listFolder(folder)
      .some((name) => addressOfFile(name) !== null || name.startsWith("last_reserved_ip."));
  } catch {
    return false;
  }
}

function storeOf(
  known: KnownNetwork,
  isOurs: boolean,
  places: IpamPlaces,
  faults: string[],
  host: Host,
): Store {
  const { conf, file } = known;
  const ipam = delegateOf(conf);
  // A network whose configuration is lost has its ranges from nowhere: not from what the agent published for its own.
  const published = () =>
    file !== null || conf.network === OWN_NETWORK
      ? (findPublished(places.stateDir, host)?.podCidrs ?? [])
      : [];
  let sets: RangeSet[] = [];
  try {
    sets = ipam === null ? configuredRanges(conf, published) : [];
  } catch (error) {
    faults.push(`${file ?? conf.network}: its ranges can't be read: ${messageOf(error)}`);
  }
  return { network: conf.network, isOurs, known, file, ipam, dataDirs: [conf.dataDir], sets };
}

/** Configurations with a store of host-local's form, ours and others', the first of each network as the runtime takes it. */
function readConfigured(
  confDir: string,
  host: Host,
): { readonly known: KnownNetwork; readonly isOurs: boolean }[] {
  const found: { known: KnownNetwork; isOurs: boolean }[] = [];
  // What can't be read is told by knownNetworks.
  readLists(host, confDir, [], (list, file) => found.push(...storesIn(list, file)));
  return found;
}

function storesIn(json: unknown, file: string): { known: KnownNetwork; isOurs: boolean }[] {
  if (typeof json !== "object" || json === null) return [];
  const name = "name" in json ? json.name : undefined;
  return pluginsIn(json).flatMap((plugin) => {
    if (typeof plugin !== "object" || plugin === null) return [];
    const types = [typeOf(plugin), "ipam" in plugin ? typeOf(plugin.ipam) : null];
    const isOurs = types.includes(OWN_TYPE);
    if (!isOurs && types[1] !== "host-local") return [];
    const stdin = { ...plugin, cniVersion: "1.0.0", name };
    const conf = parseConf(stdin);
    return conf === null ? [] : [{ known: { conf, file, stdin: JSON.stringify(stdin) }, isOurs }];
  });
}

function typeOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "type" in value ? value.type : null;
}

function parseConf(json: object): NetConf | null {
  try {
    return parseNetConf(json, true);
  } catch {
    return null;
  }
}
