import type { NetConf } from "../../cni/config.ts";
import { parseHostPortBackend, parseHostPortOptions } from "../../cni/port-mappings.ts";
import { hasLedger, type KeptClaim, staleTargets } from "../../host/host-port-claims.ts";
import type { Host } from "../../host/machine.ts";
import type { AttachmentRecord } from "../../host/records.ts";
import type { Allocation } from "../../ipam/allocate.ts";
import type { AttachmentKey } from "../../ipam/reservation.ts";
import type { Address } from "../../net/address.ts";
import type { AskedPorts } from "./claim.ts";

/** Host ports are loaded for a call that has to do with them; the others start half a millisecond earlier without. */
export const loadHostPorts = () => import("./index.ts");

/** What a call asks for; bad options are refused whether or not it does. Throws code 7, 2, or 11 (see claim.ts). */
export async function readHostPorts(conf: NetConf, host: Host): Promise<AskedPorts | null> {
  const options = parseHostPortOptions(conf);
  const backend = parseHostPortBackend(conf);
  if (!conf.raw.runtimeConfig?.portMappings?.length) return null;
  return (await loadHostPorts()).readAskedPorts(conf, options, backend, host);
}

/** The claim of a pod that asks for ports and has its addresses. Throws code 7 (see claim.ts). */
export async function describeClaim(
  asked: AskedPorts | null,
  key: AttachmentKey,
  bridge: string,
  addresses: readonly Allocation[],
): Promise<KeptClaim | null> {
  return asked === null ? null : (await loadHostPorts()).describeClaim(asked, key, bridge, addresses);
}

/**
 * Before addresses are used: their former owner's rules are gone, or an error (see index.ts). Costs a look for a file where
 * nothing is left over.
 */
export async function finishPorts(
  addresses: readonly Address[],
  stateDir: string,
  host: Host,
): Promise<void> {
  if (staleTargets(host, stateDir).length === 0) return;
  await (await loadHostPorts()).finishPorts(addresses, stateDir, host);
}

/** Whether an attachment has ports, or may have: nobody knows when its record is lost. */
export function mayHavePorts(record: AttachmentRecord | null, stateDir: string, host: Host): boolean {
  return record === null ? hasLedger(host, stateDir) : record.hostPorts !== null;
}

/** Takes the ports of attachments away, books and rules; those that have none count as done. */
export async function closePorts(
  keys: readonly AttachmentKey[],
  stateDir: string,
  host: Host,
): Promise<void> {
  if (hasLedger(host, stateDir)) await (await loadHostPorts()).closePorts(keys, stateDir, host);
}
