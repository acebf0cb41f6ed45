import { type NetConf, validAttachments } from "../cni/config.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { ValidAttachments } from "../cni/schema.ts";
import type { Host } from "../host/machine.ts";
import { type AttachmentRecord, hasRecordFile, readRecord, recordedAttachments } from "../host/records.ts";
import type { AttachmentKey, Owner } from "../ipam/reservation.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { hostVethName } from "../net/ifname.ts";
import { addressSource } from "./addresses.ts";
import { attachmentLock, type Call, formatKey } from "./call.ts";
import { detach } from "./detach.ts";
import { toCniError } from "./errors.ts";
import { removeUnusedMasquerade } from "./masquerade.ts";
import { attachmentsOf } from "./network.ts";
import { flushReleased } from "./released.ts";
import { removeUnusedSpoofChecks } from "./spoof.ts";

/**
 * GC: whatever of this network no valid attachment holds goes: links, reservations, rules, records. Without a list
 * (absent or `null`: SPEC leaves it open) only what is provably dead. Runs alone: no ADD or DEL of any attachment is
 * under way meanwhile. A failure does not keep the rest from going; all are told at the end (SPEC §2 "GC").
 */
export async function gc(call: Call, host: Host): Promise<void> {
  const { conf } = call;
  const { network } = conf;
  const valid = validAttachments(conf);
  const failures: string[] = [];
  let firstCode: number = CNI_CODE.internal;
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      host.deadline.check(what);
      const { code, message } = toCniError(error);
      if (failures.length === 0) firstCode = code;
      failures.push(`${what}: ${message}`);
    }
  };
  await host.withAttachmentLock(attachmentLock(conf), null, async () => {
    for (const key of deadAttachments(call, valid, host)) {
      await attempt(formatKey(key), async () => {
        const record = readRecord(host, conf.stateDir, key);
        await detach({ ...call, key }, record, addressSource(call, host, record), host);
      });
    }
    const source = addressSource(call, host);
    await attempt(`addresses${source.name === null ? "" : ` by ${source.name}`}`, async () => {
      const recorded = recordedAddresses(call, host);
      const isForgotten = (owner: Owner, address: Address) =>
        recorded.get(formatKey({ ...owner, network }))?.includes(formatAddress(address)) === false;
      await flushReleased(conf, await source.collect(valid, isForgotten), host);
    });
    await attempt("masquerade rules", () => removeUnusedMasquerade(conf, host, conf.raw.ipMasq === true));
    await attempt("MAC checks", () => removeUnusedSpoofChecks(conf, host));
  });
  if (failures.length === 0) return;
  throw new CniError(
    firstCode,
    `GC of ${conf.network}: ${failures.join("; ")}`,
    "what could be removed is; call GC again",
  );
}

/** Attachments of this network that are there in any way, and dead. */
function deadAttachments({ conf }: Call, valid: ValidAttachments | null, host: Host): AttachmentKey[] {
  if (valid === null) {
    return recordedAttachments(host, conf.stateDir, conf.network).filter((key) =>
      isProvablyDead(conf, key, readRecord(host, conf.stateDir, key), host),
    );
  }
  const isValid = ({ containerId, ifname }: AttachmentKey) =>
    valid.some((it) => it.containerID === containerId && it.ifname === ifname);
  return attachmentsOf(conf, host).filter((key) => !isValid(key));
}

/**
 * Addresses that live attachments have by their records, by attachment: another one that is reserved for such an
 * attachment is what an earlier ADD of it left when its record was lost.
 */
function recordedAddresses({ conf }: Call, host: Host): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const key of recordedAttachments(host, conf.stateDir, conf.network)) {
    const record = readRecord(host, conf.stateDir, key);
    if (record?.phase === "complete" && record.ipam === null) found.set(formatKey(key), record.addresses);
  }
  return found;
}

/**
 * No call of any attachment is under way here. So a record that is not complete is what a killed ADD left; and a veth
 * pair that is gone went with the sandbox. For another plugin's attachment we have its addresses only: it is dead when
 * the namespace was a file (of `ip netns` or the runtime) that is not there any more.
 */
function isProvablyDead(
  conf: NetConf,
  key: AttachmentKey,
  record: AttachmentRecord | null,
  host: Host,
): boolean {
  // A record that can't be read may be one of another version of ours, and its pod alive.
  if (record === null) return !hasRecordFile(host, conf.stateDir, key);
  if (record.phase !== "complete" || record.bootId !== host.bootId()) return true;
  if (record.kind === "bridge") {
    return host.link(hostVethName(key.network, key.containerId, key.ifname)) === null;
  }
  const folder = record.netns.slice(0, record.netns.lastIndexOf("/"));
  const isFile = record.netns.startsWith("/") && !record.netns.startsWith("/proc/");
  return isFile && host.listFolder(folder).length > 0 && host.namespaceId(record.netns) === null;
}
