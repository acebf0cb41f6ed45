import { messageOf } from "../../host/errors.ts";
import {
  claimsLock,
  type HostPortLedger,
  hostPortsFolder,
  type KeptClaim,
  parseHostPorts,
  RULE_PLACES,
  type RulePlace,
  readLedger,
  writeLedger,
} from "../../host/host-port-claims.ts";
import { isFamilyThere } from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import { hasRecordFile, readRecord, recordedAttachments } from "../../host/records.ts";
import type { AttachmentKey } from "../../ipam/reservation.ts";
import { FAMILIES } from "../../net/address.ts";
import { isOfFamily } from "../../net/host-port.ts";
import { iptablesProgram } from "../../plan/format.ts";
import { HOST, type Step } from "../../plan/step.ts";

const LOCK_TIMEOUT_MS = 30_000;

/** The claims of a node. Where their file can't be trusted the records tell, and rules may be anywhere. */
export function currentLedger(stateDir: string, host: Host): HostPortLedger {
  return readLedger(host, stateDir) ?? ledgerOfRecords(stateDir, host);
}

function ledgerOfRecords(stateDir: string, host: Host): HostPortLedger {
  host.log(`${hostPortsFolder(stateDir)}/claims.json is of no use: made anew from the records`);
  const claims = recordedClaims(stateDir, host);
  return { variant: null, places: joinPlaces(placesOf(claims), readablePlaces(host)), claims };
}

/** Places whose programs are here; without them no rules of ours came there. */
function readablePlaces(host: Host): RulePlace[] {
  const has = (program: string) => host.findProgram(program) !== null;
  return RULE_PLACES.filter((place) => {
    if (place === "nftables") return has("nft");
    return place === "ipv6" ? isFamilyThere(host, 6) && has(iptablesProgram(6)) : has(iptablesProgram(4));
  });
}

/** Claims of all records of this boot. */
export function recordedClaims(stateDir: string, host: Host): KeptClaim[] {
  return host
    .listFolder(`${stateDir}/attachments`)
    .flatMap((network) => recordedAttachments(host, stateDir, network))
    .flatMap((key) => {
      const record = readRecord(host, stateDir, key);
      if (record === null || record.hostPorts === null || record.bootId !== host.bootId()) return [];
      return [parseHostPorts({ ...key, bridge: record.bridge }, record.hostPorts)];
    });
}

/** Changes the claims while nobody else does; null: nothing is to be changed. Those made anew from records are kept. */
export async function changeLedger(
  stateDir: string,
  host: Host,
  change: (ledger: HostPortLedger) => HostPortLedger | null,
): Promise<void> {
  await host.withLock(claimsLock(stateDir), LOCK_TIMEOUT_MS, async () => {
    const kept = readLedger(host, stateDir);
    const ledger = kept ?? ledgerOfRecords(stateDir, host);
    const changed = change(ledger) ?? (kept === null ? ledger : null);
    if (changed === null) return;
    writeLedger(host, stateDir, changed);
    await closeLocalnet(ledger.claims, changed.claims, host);
  });
}

/** Lets the packets of a bridge's pods come to 127.0.0.0/8, and those from there to them, or to nobody. */
export function localnetStep(bridge: string, isOpen: boolean): Step {
  return {
    op: "sysctl.set",
    netns: HOST,
    key: localnetKey(bridge),
    value: isOpen ? "1" : "0",
    // A bridge that is gone has closed it.
    optional: !isOpen,
    why: "host ports at 127.0.0.1 (hostPortLocalhost)",
  };
}

/** Bridges of pods that are to be reached at 127.0.0.1. */
function bridgesOf(claims: readonly KeptClaim[]): Set<string> {
  return new Set(claims.flatMap(({ options, bridge }) => (options.localhost ? [bridge] : [])));
}

/** Those of them that somebody has shut. */
export function shutLocalnets(claims: readonly KeptClaim[], host: Host): string[] {
  const value = (bridge: string) => host.readFile(`/proc/sys/${localnetKey(bridge)}`)?.trim();
  return [...bridgesOf(claims)].filter((bridge) => value(bridge) === "0");
}

function localnetKey(bridge: string): string {
  return `net/ipv4/conf/${bridge}/route_localnet`;
}

/**
 * Where the last pod has gone that was reached at 127.0.0.1. The rule that keeps pods away from what listens there is about to
 * go as well. With the claims locked: whoever comes next opens it again behind us.
 */
async function closeLocalnet(
  before: readonly KeptClaim[],
  behind: readonly KeptClaim[],
  host: Host,
): Promise<void> {
  const closed = bridgesOf(before).difference(bridgesOf(behind));
  if (closed.size === 0) return;
  try {
    await host.execute([...closed].map((bridge) => localnetStep(bridge, false)));
  } catch (error) {
    host.log(`could not close 127.0.0.0/8 to pods again: ${messageOf(error)}`);
  }
}

/** Where the rules of these claims are. */
export function placesOf(claims: readonly KeptClaim[]): RulePlace[] {
  const places = new Set<RulePlace>();
  for (const { backend, ports, targets, options } of claims) {
    if (backend === "nftables") {
      places.add("nftables");
      continue;
    }
    for (const family of FAMILIES) {
      const isTarget = targets.some(({ address }) => address.family === family);
      if (!isTarget || !ports.some((port) => isOfFamily(port, family))) continue;
      places.add(`ipv${family}`);
      if (family === 4 && options.localhost) places.add("raw");
    }
  }
  return RULE_PLACES.filter((place) => places.has(place));
}

/** All places that either has, in their order. */
export function joinPlaces(a: readonly RulePlace[], b: readonly RulePlace[]): RulePlace[] {
  return RULE_PLACES.filter((place) => a.includes(place) || b.includes(place));
}

/** Whether a claim is of an attachment. */
export function isOf(claim: KeptClaim, key: AttachmentKey): boolean {
  const { network, containerId, ifname } = key;
  return claim.network === network && claim.containerId === containerId && claim.ifname === ifname;
}

/** Whether the attachment of a claim is there still, in any form: its record is written before, and removed behind it. */
export function isAlive(claim: KeptClaim, stateDir: string, host: Host): boolean {
  return hasRecordFile(host, stateDir, claim);
}

/** Without the claims of attachments that are gone without a word; null: there are none. */
export function withoutDead(ledger: HostPortLedger, stateDir: string, host: Host): HostPortLedger | null {
  const claims = ledger.claims.filter((claim) => isAlive(claim, stateDir, host));
  return claims.length === ledger.claims.length ? null : { ...ledger, claims };
}
