import type { AttachmentKey } from "../ipam/reservation.ts";
import { type Address, parseAddress } from "../net/address.ts";
import type { Host } from "./machine.ts";

/** What an ADD made, so that DEL and CHECK need neither netns nor prevResult; addresses and prefixes as text. */
export interface AttachmentRecord {
  readonly version: 1;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly bridge: string;
  readonly hostVeth: string;
  readonly hostMac: string;
  readonly podMac: string;
  readonly mtu: number;
  readonly dataDir: string;
  readonly addresses: readonly string[];
  readonly masquerade: boolean;
}

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
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    host.log(`${recordPath(stateDir, key)} is not JSON: going on without it`);
    return null;
  }
}

function isRecord(value: unknown): value is AttachmentRecord {
  if (typeof value !== "object" || value === null || !("version" in value) || value.version !== 1)
    return false;
  return (
    "addresses" in value &&
    Array.isArray(value.addresses) &&
    value.addresses.every((a) => typeof a === "string")
  );
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

/** Whether the network has any record left. */
export function hasRecords(host: Host, stateDir: string, network: string): boolean {
  return host.listFolder(recordFolder(stateDir, network)).some((name) => name.endsWith(".json"));
}

/** The addresses a record names; none without a record. */
export function knownAddresses(record: AttachmentRecord | null): Address[] {
  return (record?.addresses ?? []).flatMap((text) => parseAddress(text) ?? []);
}
