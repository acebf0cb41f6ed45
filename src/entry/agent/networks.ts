import { delegateOf, type NetConf, OWN_TYPE, parseNetConf } from "../../cni/config.ts";
import { canonicalKeys } from "../../cni/keys.ts";
import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { readRecord, recordedAttachments } from "../../host/records.ts";
import { configFiles, OWN_NETWORK } from "../../topology/conflist.ts";
import { countAddresses, type RangeUse } from "../addresses.ts";
import { configuredRanges } from "../desired.ts";
import { findPublished } from "../node.ts";

/** A network that has attachments on this node, or could. */
export interface KnownNetwork {
  readonly conf: NetConf;
  /** The file that the configuration is from; null: none is known, and this one is the least that its records tell. */
  readonly file: string | null;
  /** The configuration as a plugin gets it. */
  readonly stdin: string;
}

/** Of a conflist at most; a bigger file is something else. */
const MAX_TEXT = 1 << 20;

/** The networks with records in the state folder, and the agent's own; with what is wrong with their configurations. */
export function knownNetworks(
  host: Host,
  settings: { readonly stateDir: string; readonly confDir: string },
): { readonly networks: KnownNetwork[]; readonly faults: string[] } {
  const { stateDir, confDir } = settings;
  const faults: string[] = [];
  const configured = readConfigured(host, confDir, faults).filter(({ conf }) => conf.stateDir === stateDir);
  const names = new Set([...host.listFolder(`${stateDir}/attachments`), OWN_NETWORK]);
  const networks: KnownNetwork[] = [];
  for (const name of [...names].sort()) {
    const found = configured.find(({ conf }) => conf.network === name);
    try {
      networks.push(found ?? unconfigured(host, stateDir, name));
    } catch (error) {
      faults.push(`${stateDir}/attachments/${name} is no network's folder: ${messageOf(error)}`);
    }
  }
  return { networks, faults };
}

/** How full the range sets of the agent's own network are; empty while nothing is published, or others manage them. */
export function countOwnAddresses(
  host: Host,
  settings: { readonly stateDir: string; readonly confDir: string },
): RangeUse[] {
  const own = knownNetworks(host, settings).networks.find(({ conf }) => conf.network === OWN_NETWORK);
  if (own === undefined || delegateOf(own.conf) !== null) return [];
  const sets = configuredRanges(own.conf, () => findPublished(settings.stateDir, host)?.podCidrs ?? []);
  return countAddresses(host, own.conf.dataDir, OWN_NETWORK, sets);
}

/** What can be known of a network without its configuration: where its addresses are kept. */
function unconfigured(host: Host, stateDir: string, network: string): KnownNetwork {
  const dataDir = recordedDataDir(host, stateDir, network);
  const json = { cniVersion: "1.1.0", name: network, type: OWN_TYPE, stateDir, dataDir };
  return { conf: parseNetConf(json, true), file: null, stdin: JSON.stringify(json) };
}

/** The store of the first record that can be read: those of one network have one. */
function recordedDataDir(host: Host, stateDir: string, network: string): string | undefined {
  for (const key of recordedAttachments(host, stateDir, network)) {
    const record = readRecord(host, stateDir, key);
    if (record !== null) return record.dataDir;
  }
  return undefined;
}

/** Configurations of ours in the folder of the runtime, the first of each network as it takes it. */
export function readConfigured(host: Host, confDir: string, faults: string[]): KnownNetwork[] {
  const found: KnownNetwork[] = [];
  readLists(host, confDir, faults, (list, file) => {
    for (const json of pluginsOf(list)) {
      found.push({ conf: parseNetConf(json, true), file, stdin: JSON.stringify(json) });
    }
  });
  return found;
}

/**
 * Hands over every configuration of a folder that a runtime reads, in its order, with keys in their own spelling; what can't
 * be read, or `take` can't do with, becomes a fault, and keeps no other from being taken. `confDir` empty: none.
 */
export function readLists(
  host: Host,
  confDir: string,
  faults: string[],
  take: (list: unknown, file: string) => void,
): void {
  if (confDir === "") return;
  for (const name of configFiles(host.listFolder(confDir))) {
    const file = `${confDir}/${name}`;
    try {
      const text = host.readFile(file) ?? "";
      if (text.length <= MAX_TEXT) take(canonicalKeys(JSON.parse(text)), file);
    } catch (error) {
      faults.push(`${file} can't be read: ${messageOf(error)}`);
    }
  }
}

/** What our plugin would get of a list, or of the older form of one plugin: with name and version (SPEC §3). */
function pluginsOf(json: unknown): object[] {
  if (typeof json !== "object" || json === null) return [];
  const ofList = {
    ...("cniVersion" in json ? { cniVersion: json.cniVersion } : {}),
    ...("name" in json ? { name: json.name } : {}),
  };
  return pluginsIn(json)
    .filter(isOurs)
    .map((plugin) => ({ ...plugin, ...ofList }));
}

/** The plugins of a list; of the older form of one plugin that itself. */
export function pluginsIn(json: object): unknown[] {
  return "plugins" in json && Array.isArray(json.plugins) ? json.plugins : [json];
}

/** Our own type, or another one that has its addresses from us. */
function isOurs(plugin: unknown): plugin is object {
  if (typeof plugin !== "object" || plugin === null) return false;
  const typeOf = (value: unknown) =>
    typeof value === "object" && value !== null && "type" in value ? value.type : null;
  return typeOf(plugin) === OWN_TYPE || ("ipam" in plugin && typeOf(plugin.ipam) === OWN_TYPE);
}
