import * as v from "valibot";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { HostPortsSchema } from "./host-port-claims.ts";
import type { Host } from "./machine.ts";

const RateSchema = v.object({ rate: v.number(), burst: v.number() });
const TuningSchema = v.object({
  mtu: v.optional(v.number()),
  promisc: v.optional(v.boolean()),
  allmulti: v.optional(v.boolean()),
  txQueueLength: v.optional(v.number()),
  sysctls: v.array(v.tuple([v.string(), v.string()])),
});

const RecordSchema = v.object({
  version: v.literal(2),
  containerId: v.string(),
  ifname: v.string(),
  netns: v.string(),
  bootId: v.string(),
  phase: v.picklist(["begun", "reserved", "complete"]),
  kind: v.picklist(["bridge", "ipam"]),
  bridge: v.string(),
  hostVeth: v.string(),
  hostMac: v.string(),
  podMac: v.string(),
  mtu: v.number(),
  hairpin: v.boolean(),
  isolated: v.boolean(),
  vlan: v.nullable(v.number()),
  ipam: v.nullable(v.string()),
  dataDir: v.string(),
  addresses: v.array(v.string()),
  routes: v.array(v.string()),
  masquerade: v.nullable(v.picklist(["iptables", "nftables"])),
  spoofCheck: v.boolean(),
  // Later than the rest: a record of a pod that is older than the binary lacks them.
  hostPorts: v.optional(v.nullable(HostPortsSchema), null),
  ingress: v.optional(v.nullable(RateSchema), null),
  egress: v.optional(v.nullable(RateSchema), null),
  ifb: v.optional(v.nullable(v.string()), null),
  tuning: v.optional(v.nullable(TuningSchema), null),
});

/**
 * What an ADD is about to make or has made, so that DEL, CHECK and GC need neither netns, prevResult nor the
 * configuration of then. `begun`: written before any address is taken; `reserved`: addresses are known, links may be
 * there; `complete`: the runtime may have been told of success. One that is not complete while no call of its
 * attachment runs is what a killed ADD left. `kind` "ipam": addresses only, for another plugin. `ipam`: the plugin
 * that manages the addresses, null for the built-in store. Addresses as text without length, routes by their
 * destinations. `ingress` and `egress`: the pod's limits, bytes per second and bytes; `ifb`: the link that carries the
 * latter. `tuning`: what was asked for of the pod's end, its own `mtu` if it has one, sysctls by their path below
 * /proc/sys.
 */
export type AttachmentRecord = v.InferOutput<typeof RecordSchema>;

/** `<stateDir>/attachments/<network>/<containerID>:<ifname>.json`; neither part can hold a colon. */
function recordPath(stateDir: string, key: AttachmentKey): string {
  return `${recordFolder(stateDir, key.network)}/${key.containerId}:${key.ifname}.json`;
}

function recordFolder(stateDir: string, network: string): string {
  return `${stateDir}/attachments/${network}`;
}

/** The record of an attachment; null when there is none or it can't be read as one. */
export function readRecord(host: Host, stateDir: string, key: AttachmentKey): AttachmentRecord | null {
  const text = host.readFile(recordPath(stateDir, key));
  if (text === null) return null;
  const record = parseRecord(text);
  if (record === null) host.log(`${recordPath(stateDir, key)} is no record: going on without it`);
  return record;
}

/** Whether there is a record file at all, readable or not: a killed first write leaves a temporary one only. */
export function hasRecordFile(host: Host, stateDir: string, key: AttachmentKey): boolean {
  return host.isFile(recordPath(stateDir, key));
}

/** Reads the text of a record; null when it is not one (a torn write, another version). */
export function parseRecord(text: string): AttachmentRecord | null {
  try {
    const parsed = v.safeParse(RecordSchema, JSON.parse(text));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

/** Writes a record whole. */
export function writeRecord(
  host: Host,
  stateDir: string,
  key: AttachmentKey,
  record: AttachmentRecord,
): void {
  host.writeFile(recordPath(stateDir, key), JSON.stringify(record));
}

/** Removes a record; no error when there is none. */
export function removeRecord(host: Host, stateDir: string, key: AttachmentKey): void {
  host.removeFile(recordPath(stateDir, key));
}

const RECORD_FILE = /^([^:]+):([^:]+)\.json$/;

/** Whether a file of a network's folder of records is one, or the temporary file of one. */
export function isRecordFile(name: string): boolean {
  return RECORD_FILE.test(name.replace(/\.tmp$/, ""));
}

/** Attachments of a network that have a record, readable or not, or the temporary file of one whose writer was killed. */
export function recordedAttachments(host: Host, stateDir: string, network: string): AttachmentKey[] {
  const names = host.listFolder(recordFolder(stateDir, network)).map((name) => name.replace(/\.tmp$/, ""));
  return [...new Set(names)].flatMap((name) => {
    const [, containerId, ifname] = RECORD_FILE.exec(name) ?? [];
    return containerId === undefined || ifname === undefined ? [] : [{ network, containerId, ifname }];
  });
}

/** The addresses a record names; null when it can't know: there is no record, or none was taken when it was written. */
export function knownAddresses(record: AttachmentRecord | null): Address[] | null {
  if (record === null || record.phase === "begun") return null;
  return record.addresses.flatMap((text) => parseAddress(text) ?? []);
}
