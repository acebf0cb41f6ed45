import { type NetConf, validAttachments } from "../cni/config.ts";
import { CniError } from "../cni/errors.ts";
import type { ValidAttachments } from "../cni/schema.ts";
import type { Host } from "../host/machine.ts";
import { type AttachmentRecord, hasRecordFile, readRecord, recordedAttachments } from "../host/records.ts";
import type { AttachmentKey, Owner } from "../ipam/reservation.ts";
import { type Address, formatAddress } from "../net/address.ts";
import { hostVethName, ifbName, isIfbName } from "../net/ifname.ts";
import type { ObservedLink } from "../plan/state.ts";
import { parseVethAlias } from "../topology/alias.ts";
import { planLinksRemoval } from "../topology/attachment.ts";
import { addressSource } from "./addresses.ts";
import { attachmentLock, type Call, formatKey } from "./call.ts";
import { detach } from "./detach.ts";
import { toCniError } from "./errors.ts";
import { closePorts } from "./host-ports/when-asked.ts";
import { removeUnusedMasquerade } from "./masquerade.ts";
import { attachmentsOf } from "./network.ts";
import { flushReleased } from "./released.ts";
import { removeUnusedSpoofChecks } from "./spoof.ts";

/** What one collection did. */
export interface Collection {
  readonly removed: readonly AttachmentKey[];
  readonly failures: readonly { readonly code: number; readonly message: string }[];
}

/**
 * GC: whatever of this network no valid attachment holds goes: links, reservations, rules, records. Without a list
 * (absent or `null`: SPEC leaves it open) only what is provably dead. Runs alone: no ADD or DEL of any attachment is
 * under way meanwhile. A failure does not keep the rest from going; all are told at the end (SPEC §2 "GC").
 */
export async function gc(call: Call, host: Host): Promise<void> {
  const { conf } = call;
  const valid = validAttachments(conf);
  const { failures } = await host.withAttachmentLock(attachmentLock(conf), null, () =>
    collect(call, valid, deadAttachments(conf, valid, host), host),
  );
  const [first] = failures;
  if (first === undefined) return;
  throw new CniError(
    first.code,
    `GC of ${conf.network}: ${failures.map(({ message }) => message).join("; ")}`,
    "what could be removed is; call GC again",
  );
}

/**
 * Takes these attachments away, and what else of the network nobody holds: the lock of all attachments must be held.
 * Throws only when the time of the call is over. An IPAM plugin other than ours is told (`GC`) where `valid` says what
 * lives: without that it would have to guess.
 */
export async function collect(
  call: Call,
  valid: ValidAttachments | null,
  dead: readonly AttachmentKey[],
  host: Host,
  tellsOthers = true,
): Promise<Collection> {
  const { conf } = call;
  const removed: AttachmentKey[] = [];
  const failures: { code: number; message: string }[] = [];
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
      return true;
    } catch (error) {
      host.deadline.check(what);
      const { code, message } = toCniError(error);
      failures.push({ code, message: `${what}: ${message}` });
      return false;
    }
  };
  await attempt("host ports", () => closePorts(dead, conf.stateDir, host));
  await attempt("links", () => removeLinks(dead, host));
  for (const key of dead) {
    const isGone = await attempt(formatKey(key), async () => {
      const record = readRecord(host, conf.stateDir, key);
      await detach({ ...call, key }, record, addressSource(call, host, record), host);
    });
    if (isGone) removed.push(key);
  }
  const source = addressSource(call, host);
  if (source.name === null || tellsOthers) {
    await attempt(`addresses${source.name === null ? "" : ` by ${source.name}`}`, async () => {
      const recorded = recordedAddresses(conf, host);
      const isForgotten = (owner: Owner, address: Address) =>
        recorded.get(formatKey({ ...owner, network: conf.network }))?.includes(formatAddress(address)) ===
        false;
      await flushReleased(conf, await source.collect(valid, isForgotten), host);
    });
  }
  await attempt("masquerade rules", () => removeUnusedMasquerade(conf, host, conf.raw.ipMasq === true));
  await attempt("MAC checks", () => removeUnusedSpoofChecks(conf, host));
  return { removed, failures };
}

/**
 * The links of all at once: each by itself waits for a grace period of the kernel. What is left of them is told by the
 * removal of its attachment, which tries again.
 */
async function removeLinks(keys: readonly AttachmentKey[], host: Host): Promise<void> {
  if (keys.length < 2) return;
  const names = new Map(
    keys.flatMap(({ network, containerId, ifname }) => [
      [hostVethName(network, containerId, ifname), "veth"],
      [ifbName(network, containerId, ifname), "ifb"],
    ]),
  );
  const there = host.links().filter(({ name, kind }) => names.get(name) === kind);
  if (there.length > 1) await host.executeEach(planLinksRemoval(there.map(({ name }) => name)));
}

/** Attachments of this network that are there in any way, and dead; `valid` null: provably. */
export function deadAttachments(
  conf: NetConf,
  valid: ValidAttachments | null,
  host: Host,
): readonly AttachmentKey[] {
  if (valid === null) {
    const keys = recordedAttachments(host, conf.stateDir, conf.network);
    const records = keys.map((key) => ({ key, record: readRecord(host, conf.stateDir, key) }));
    // Links behind the records: what is made meanwhile is seen as alive.
    const links = host.links();
    const linked = linkedAttachments(links, keys);
    const dead = records.filter(({ key, record }) => isProvablyDead(conf, key, record, linked, host));
    return [...dead.map(({ key }) => key), ...ifbsAlone(conf, keys, links)];
  }
  const isValid = ({ containerId, ifname }: AttachmentKey) =>
    valid.some((it) => it.containerID === containerId && it.ifname === ifname);
  const known = attachmentsOf(conf, host);
  return [...known, ...ifbsAlone(conf, known, host.links())].filter((key) => !isValid(key));
}

/**
 * Attachments of which nothing is left but their ifb: it does not go with the sandbox, as their host-side veth did. `known`:
 * those that have a record, read before; an ADD that runs meanwhile makes the ifb behind the veth.
 */
function ifbsAlone(
  { network }: NetConf,
  known: readonly AttachmentKey[],
  links: readonly ObservedLink[],
): AttachmentKey[] {
  const taken = new Set(known.map(formatKey));
  const found = links.flatMap(({ name, kind, alias }) => {
    const key = kind === "ifb" && isIfbName(name) ? parseVethAlias(alias) : null;
    return key === null || key.network !== network || taken.has(formatKey(key)) ? [] : [key];
  });
  const linked = linkedAttachments(links, found);
  return found.filter((key) => !linked.has(formatKey(key)));
}

/** Attachments that have a link, by its name or by its alias, whatever its name is now; an ifb alone carries nothing. */
function linkedAttachments(
  links: readonly ObservedLink[],
  keys: readonly AttachmentKey[],
): ReadonlySet<string> {
  if (keys.length === 0) return new Set();
  const carriers = links.filter(({ kind }) => kind !== "ifb");
  const names = new Set(carriers.map(({ name }) => name));
  const named = keys.filter((key) => names.has(hostVethName(key.network, key.containerId, key.ifname)));
  return new Set([...named, ...carriers.flatMap(({ alias }) => parseVethAlias(alias) ?? [])].map(formatKey));
}

/**
 * Addresses that live attachments have by their records, by attachment: another one that is reserved for such an
 * attachment is what an earlier ADD of it left when its record was lost.
 */
function recordedAddresses(conf: NetConf, host: Host): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const key of recordedAttachments(host, conf.stateDir, conf.network)) {
    const record = readRecord(host, conf.stateDir, key);
    if (record?.phase === "complete" && record.ipam === null) found.set(formatKey(key), record.addresses);
  }
  return found;
}

/**
 * No call of any attachment is under way here. So a record that is not complete is what a killed ADD left; and a veth
 * pair that is gone (and has no other name now) went with the sandbox. For another plugin's attachment we have its
 * addresses only: it is dead when the namespace was a file (of `ip netns` or the runtime) that is not there any more.
 */
function isProvablyDead(
  conf: NetConf,
  key: AttachmentKey,
  record: AttachmentRecord | null,
  linked: ReadonlySet<string>,
  host: Host,
): boolean {
  // A record that can't be read may be one of another version of ours, and its pod alive.
  if (record === null) return !hasRecordFile(host, conf.stateDir, key);
  if (record.phase !== "complete" || record.bootId !== host.bootId()) return true;
  if (record.kind === "bridge") return !linked.has(formatKey(key));
  const folder = record.netns.slice(0, record.netns.lastIndexOf("/"));
  return isNetnsFile(record) && host.listFolder(folder).length > 0 && host.namespaceId(record.netns) === null;
}

/** Whether the namespace has a name of its own; under /proc the path may be another process's by now. */
export function isNetnsFile({ netns }: Pick<AttachmentRecord, "netns">): boolean {
  return netns.startsWith("/") && !netns.startsWith("/proc/");
}
