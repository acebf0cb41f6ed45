import type { NetConf } from "../cni/config.ts";
import { DEFAULT_DATA_DIR } from "../cni/config.ts";
import type { Environment } from "../cni/request.ts";
import { HostError } from "../host/errors.ts";
import type { Host } from "../host/machine.ts";
import { knownAddresses, readRecord, removeRecord } from "../host/records.ts";
import { createReservationStore } from "../host/reservations.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { hostVethName } from "../net/ifname.ts";
import { planDetach } from "../topology/attachment.ts";
import { removeUnusedMasquerade } from "./masquerade.ts";

/**
 * DEL: the link first, then the reservation (the other way round, a pod that is still wired loses its address to the
 * next one, plugins#666), then the record. Needs neither netns nor prevResult, and nothing of the ADD's configuration
 * but the network's name. What is already gone counts as done, so that any number of calls end well.
 */
export function del(environment: Environment, conf: NetConf, host: Host): void {
  const key: AttachmentKey = {
    network: conf.network,
    containerId: environment.containerId,
    ifname: environment.ifname,
  };
  const record = readRecord(host, conf.stateDir, key);
  removeLink(hostVethName(key.network, key.containerId, key.ifname), host);
  const dataDir = record?.dataDir ?? (conf.raw.ipam?.dataDir || DEFAULT_DATA_DIR);
  const known = record === null ? null : knownAddresses(record);
  createReservationStore(host, dataDir, conf.network).release(key, known);
  removeRecord(host, conf.stateDir, key);
  if (record?.masquerade === true || conf.raw.ipMasq === true) removeUnusedMasquerade(conf, host);
}

/** One spawn when the link is there, none when it is not. Two DELs at once may both see it: gone is as good as deleted. */
function removeLink(hostVeth: string, host: Host): void {
  if (host.link(hostVeth)?.kind !== "veth") return;
  try {
    host.execute(planDetach(hostVeth));
  } catch (error) {
    if (error instanceof HostError && host.link(hostVeth) === null) return;
    throw error;
  }
}
