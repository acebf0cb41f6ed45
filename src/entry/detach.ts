import { ExecuteError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { type AttachmentRecord, knownAddresses, removeRecord } from "../host/records.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { hostVethName, ifbName } from "../net/ifname.ts";
import { planLinksRemoval } from "../topology/attachment.ts";
import type { AddressSource } from "./addresses.ts";
import { attempt } from "./attempt.ts";
import { beside } from "./beside.ts";
import type { Call } from "./call.ts";
import { loadHostPorts, mayHavePorts } from "./host-ports/when-asked.ts";
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
  const links = attachmentLinks(key, record, host);
  const hadLink = links.length > 0;
  const { stateDir } = conf;
  // The kernel lets both wait. Behind both the address is free for somebody else.
  const ports = mayHavePorts(record, stateDir, host) ? await loadHostPorts() : null;
  const closed =
    ports === null
      ? null
      : attempt("could not remove the rules of host ports", host, () =>
          ports.closePorts([key], stateDir, host),
        );
  const removed = (await beside(closed, () => removeLinks(links, host))).work;
  if (removed.status === "rejected") throw removed.reason;
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

/**
 * The links of an attachment that are there: the host-side veth, and the ifb that its record names, or any when it was
 * lost. The ifb stays when the pair goes with the sandbox.
 */
export function attachmentLinks(
  { network, containerId, ifname }: AttachmentKey,
  record: AttachmentRecord | null,
  host: Host,
): string[] {
  const hostVeth = hostVethName(network, containerId, ifname);
  const ifb = record === null ? ifbName(network, containerId, ifname) : record.ifb;
  return [
    ...(host.link(hostVeth)?.kind === "veth" ? [hostVeth] : []),
    ...(ifb !== null && host.link(ifb)?.kind === "ifb" ? [ifb] : []),
  ];
}

/** All in one turn. Somebody else may delete one first, with its namespace: gone is as good as deleted. */
export async function removeLinks(names: readonly string[], host: Host): Promise<void> {
  if (names.length === 0) return;
  const failures = await host.executeEach(planLinksRemoval(names));
  const failure = failures.find(({ step }) => step.op === "link.del" && host.link(step.name) !== null);
  if (failure === undefined) return;
  const { step, command, message } = failure;
  throw new ExecuteError(step, command, message, "run the command by hand to see more");
}
