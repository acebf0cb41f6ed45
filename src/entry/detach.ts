import { HostError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { type AttachmentRecord, knownAddresses, removeRecord } from "../host/records.ts";
import { hostVethName } from "../net/ifname.ts";
import { planDetach } from "../topology/attachment.ts";
import type { AddressSource } from "./addresses.ts";
import { attempt } from "./attempt.ts";
import type { Call } from "./call.ts";
import { removeUnusedMasquerade } from "./masquerade.ts";
import { flushReleased } from "./released.ts";
import { removeUnusedSpoofChecks } from "./spoof.ts";

/**
 * Takes an attachment away, whole or half made: the link first, then the addresses (the other way round, a pod that
 * is still wired loses its address to the next one, plugins#666), then the record, then what its network does not
 * need any more. What is already gone counts as done. Throws when the link or the addresses can't be removed; rules
 * that can't are told and left to the next call, since a DEL that fails is repeated for ever (cilium#8313).
 */
export async function detach(
  call: Call,
  record: AttachmentRecord | null,
  source: AddressSource,
  host: Host,
): Promise<void> {
  const { key, conf } = call;
  const hostVeth = hostVethName(key.network, key.containerId, key.ifname);
  const hadLink = host.link(hostVeth)?.kind === "veth";
  if (hadLink) await removeLink(hostVeth, host);
  const held = source.held(key, knownAddresses(record));
  // Behind the link: a pod that still sends would make new ones.
  await attempt("could not flush connections", host, () => flushReleased(conf, held, host));
  if (record?.spoofCheck === true || conf.raw.macspoofchk === true) {
    await attempt("could not remove the MAC check", host, () => removeUnusedSpoofChecks(conf, host, key));
  }
  await source.release(key, source.name === null ? held : knownAddresses(record));
  // One that stays tells of nothing any more, and the next call of this attachment takes it away.
  await attempt("could not remove the record", host, () => removeRecord(host, conf.stateDir, key));
  // Something was there and nothing is known of it: so of its rules.
  const isThorough = record === null && conf.raw.ipMasq === true && (hadLink || held.length > 0);
  await attempt("could not remove the masquerade rules", host, () =>
    removeUnusedMasquerade(conf, host, isThorough),
  );
}

/** Somebody else may delete it first, with its namespace: gone is as good as deleted. */
async function removeLink(hostVeth: string, host: Host): Promise<void> {
  try {
    await host.execute(planDetach(hostVeth));
  } catch (error) {
    if (error instanceof HostError && host.link(hostVeth) === null) return;
    throw error;
  }
}
