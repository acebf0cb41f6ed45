import type { AttachmentKey } from "../ipam/reservation.ts";
import { interfaceNameFault } from "../net/ifname.ts";

/** IFALIASZ (if.h) is 256 bytes with the closing zero. */
const MAX_BYTES = 255;
const MARK = "minicni";
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/** The alias of a host-side veth and of its ifb, which tells whose it is; null when it would be too long for the kernel. */
export function vethAlias({ network, containerId, ifname }: AttachmentKey): string | null {
  const alias = [MARK, network, containerId, ifname].join(":");
  return new TextEncoder().encode(alias).length > MAX_BYTES ? null : alias;
}

/** Whose host-side veth or ifb a link is, from its alias; null when the alias is not one of ours. */
export function parseVethAlias(text: string): AttachmentKey | null {
  const [mark, network = "", containerId = "", ifname = "", ...rest] = text.split(":");
  if (mark !== MARK || rest.length > 0) return null;
  if (!ID.test(network) || !ID.test(containerId) || interfaceNameFault(ifname) !== null) return null;
  return { network, containerId, ifname };
}
