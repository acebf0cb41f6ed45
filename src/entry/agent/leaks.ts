import type { NetConf } from "../../cni/config.ts";
import { parseEnvironment } from "../../cni/request.ts";
import { messageOf, OverdueError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { readRecord } from "../../host/records.ts";
import { type AttachmentKey, addressOfFile } from "../../ipam/reservation.ts";
import { attachmentLock, type Call, formatKey } from "../call.ts";
import { collect, deadAttachments, isNetnsFile } from "../gc.ts";
import { type KnownNetwork, knownNetworks } from "./networks.ts";

/** Where to look, and for how long something has to look dead. */
export interface LeakSettings {
  readonly stateDir: string;
  /** Folder of the conflists; empty: none. */
  readonly confDir: string;
  /** Milliseconds; 0: nothing is ever removed. */
  readonly graceMs: number;
  /** Where plugins are, for addresses that another IPAM plugin manages; default /opt/cni/bin. */
  readonly pluginDir?: string;
}

/** What one look found and did. */
export interface LeakReport {
  readonly removed: readonly AttachmentKey[];
  readonly faults: readonly string[];
  /** How many look dead and are not gone. */
  readonly candidates: number;
}

/** See {@link createLeakCheck}. */
export interface LeakCheck {
  pass(): Promise<LeakReport>;
}

/** How long the lock of all attachments is waited for: new ADDs wait as long. */
const LOCK_MS = 5_000;
/** For the removal itself, as a GC that a runtime calls may take. */
const COLLECT_MS = 25_000;
/** To see whether a call of one attachment is under way. */
const PROBE_MS = 50;

/** Something of a network that looks dead. */
interface Candidate {
  /** What it is and what it looks like: another look is another candidate. */
  readonly id: string;
  readonly network: KnownNetwork;
  /** Null: reservations of another boot. */
  readonly key: AttachmentKey | null;
}

/**
 * Looks for attachments whose pod is gone and whose DEL never came: containerd calls no GC. What looked dead at each
 * look for as long as the grace period is taken away as GC does, when under the lock it is dead still. Without
 * candidates no lock is taken. `openHost`: the machine for so many milliseconds; `now` in milliseconds, never going
 * back.
 */
export function createLeakCheck(
  openHost: (timeoutMs: number) => Host,
  settings: LeakSettings,
  now: () => number = () => performance.now(),
): LeakCheck {
  let since = new Map<string, number>();
  return {
    pass: async () => {
      if (settings.graceMs === 0) return { removed: [], faults: [], candidates: 0 };
      const { networks, faults } = knownNetworks(openHost(COLLECT_MS), settings);
      const found: Candidate[] = [];
      for (const network of networks) {
        try {
          found.push(...(await candidatesOf(network, openHost)));
        } catch (error) {
          faults.push(`${network.conf.network}: ${messageOf(error)}`);
        }
      }
      const time = now();
      since = new Map(found.map(({ id }) => [id, since.get(id) ?? time]));
      const ripe = found.filter(({ id }) => time - (since.get(id) ?? time) >= settings.graceMs);
      if (ripe.length === 0) return { removed: [], faults, candidates: found.length };
      const removed = await removeRipe(ripe, settings, openHost, faults);
      // What could not be removed, or was alive after all, has to look dead for as long again.
      for (const { id } of ripe) since.delete(id);
      return { removed, faults, candidates: found.length - removed.length };
    },
  };
}

async function candidatesOf(
  network: KnownNetwork,
  openHost: (timeoutMs: number) => Host,
): Promise<Candidate[]> {
  const { conf } = network;
  const host = openHost(COLLECT_MS);
  const found: Candidate[] = [];
  for (const key of deadAttachments(conf, null, host)) {
    const record = readRecord(host, conf.stateDir, key);
    if (record?.phase === "complete") {
      // Somebody took the link from a sandbox that is there: nobody says that its pod is gone.
      if (record.bootId === host.bootId() && isNetnsFile(record) && host.isNetns(record.netns)) continue;
      // An ADD, DEL or CHECK of it runs: whatever is half there is being worked on.
    } else if (!(await isIdle(conf, key, openHost(PROBE_MS)))) continue;
    const look = record === null ? "" : `${record.phase} ${record.netns} ${record.addresses.join(" ")}`;
    found.push({ id: `${formatKey(key)} ${look}`, network, key });
  }
  const marker = staleMarker(conf, host);
  if (marker !== null) found.push({ id: `${conf.network}: boot ${marker}`, network, key: null });
  return found;
}

async function isIdle(conf: NetConf, key: AttachmentKey, host: Host): Promise<boolean> {
  try {
    await host.withAttachmentLock(attachmentLock(conf), formatKey(key), () => undefined);
    return true;
  } catch (error) {
    if (error instanceof OverdueError) return false;
    throw error;
  }
}

/** The boot that the network's reservations are of, when it is not this one and there are any; else null. */
function staleMarker({ dataDir, network }: NetConf, host: Host): string | null {
  const folder = `${dataDir}/${network}`;
  const marker = host.readFile(`${folder}/.boot`);
  if (marker === null || marker === host.bootId()) return null;
  return host.listFolder(folder).some((name) => addressOfFile(name) !== null) ? marker : null;
}

/** Under the lock of all attachments: dead is what is dead then, as far as it was condemned before. */
async function removeRipe(
  ripe: readonly Candidate[],
  settings: LeakSettings,
  openHost: (timeoutMs: number) => Host,
  faults: string[],
): Promise<AttachmentKey[]> {
  const removed: AttachmentKey[] = [];
  const condemned = new Set(ripe.flatMap(({ key }) => (key === null ? [] : [formatKey(key)])));
  const networks = new Set(ripe.map(({ network }) => network));
  const host = openHost(LOCK_MS);
  const lock = `${settings.stateDir}/attachments.lock`;
  try {
    await host.withAttachmentLock(lock, null, async () => {
      host.deadline.renew(COLLECT_MS);
      for (const network of networks) {
        const { conf } = network;
        const dead = deadAttachments(conf, null, host).filter((key) => condemned.has(formatKey(key)));
        const known = dead.filter((key) => canRemove(network, key, faults, host));
        const done = await collect(gcCall(network, settings), null, known, host, false);
        removed.push(...done.removed);
        faults.push(...done.failures.map(({ message }) => `${conf.network}: ${message}`));
      }
    });
  } catch (error) {
    faults.push(`leaked attachments wait for another pass: ${messageOf(error)}`);
  }
  return removed;
}

/** Addresses of another IPAM plugin can be given back only with the configuration it was called with. */
function canRemove(network: KnownNetwork, key: AttachmentKey, faults: string[], host: Host): boolean {
  const record = readRecord(host, network.conf.stateDir, key);
  if (record === null || record.ipam === null || network.file !== null) return true;
  faults.push(
    `${formatKey(key)} is dead, and its addresses are managed by ${record.ipam}: no configuration of this network is known`,
  );
  return false;
}

/** The GC that a runtime would call, since another IPAM plugin is run with what came from there. */
function gcCall({ conf, stdin }: KnownNetwork, { pluginDir = "/opt/cni/bin" }: LeakSettings): Call {
  const variables = { CNI_COMMAND: "GC", CNI_PATH: pluginDir };
  const key = { network: conf.network, containerId: "", ifname: "" };
  return { key, environment: parseEnvironment(variables), conf, variables, stdin };
}
