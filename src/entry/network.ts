import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import { recordedAttachments } from "../host/records.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { isHostVethName } from "../net/ifname.ts";
import { parseVethAlias } from "../topology/attachment.ts";
import { formatKey } from "./call.ts";

/**
 * The attachments of a network that are there in any way: those that have a record, finished or not, and those whose
 * host-side veth tells whose it is although their record was lost. `except`: one that is just being taken away.
 */
export function attachmentsOf(
  conf: Pick<NetConf, "stateDir" | "network">,
  host: Host,
  except: AttachmentKey | null = null,
): AttachmentKey[] {
  const recorded = recordedAttachments(host, conf.stateDir, conf.network);
  const known = new Set(recorded.map(formatKey));
  const linked = host.links().flatMap(({ name, alias }) => {
    const key = isHostVethName(name) ? parseVethAlias(alias) : null;
    return key?.network === conf.network && !known.has(formatKey(key)) ? [key] : [];
  });
  const gone = except === null ? null : formatKey(except);
  return [...recorded, ...linked].filter((key) => formatKey(key) !== gone);
}

/** Whether the network needs its rules still. The records are looked at first: they are far cheaper. */
export function isUsed(conf: Pick<NetConf, "stateDir" | "network">, host: Host): boolean {
  const hasRecord = recordedAttachments(host, conf.stateDir, conf.network).length > 0;
  return hasRecord || attachmentsOf(conf, host).length > 0;
}
