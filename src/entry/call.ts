import type { NetConf } from "../cni/config.ts";
import type { Environment } from "../cni/request.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";

/** CNI variables, or the whole environment, by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** One call of a runtime, understood. */
export interface Call {
  readonly key: AttachmentKey;
  readonly environment: Environment;
  readonly conf: NetConf;
  /** Both as they arrived: a delegated plugin gets the same (SPEC §4). */
  readonly variables: Variables;
  readonly stdin: string;
}

/** The lock file of all attachments; each has a place of its own in it. */
export function attachmentLock({ stateDir }: Pick<NetConf, "stateDir">): string {
  return `${stateDir}/attachments.lock`;
}

/** An attachment's key in one line; no part can hold a blank. */
export function formatKey({ network, containerId, ifname }: AttachmentKey): string {
  return `${network} ${containerId} ${ifname}`;
}
