import { type Address, formatAddress, parseAddress } from "../net/address.ts";

/** Key of an attachment: one network, one interface of one container. */
export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Who holds a reservation, as its file says. */
export interface Owner {
  readonly containerId: string;
  /** Empty in files of host-local before v0.8, which wrote the ID alone. */
  readonly ifname: string;
}

/** host-local separates with CR LF on every system. */
const LINE_BREAK = "\r\n";

/** Text of a reservation file, as host-local writes it. */
export function formatReservation(owner: Owner): string {
  return `${owner.containerId}${LINE_BREAK}${owner.ifname}`;
}

/** Reads a reservation file. Null when it names nobody: a torn write of a crash or a full disk (plugins#498). */
export function parseReservation(text: string): Owner | null {
  const [containerId = "", ifname = ""] = text.trim().split(/\r?\n/);
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(containerId) ? { containerId, ifname } : null;
}

/** Whether a reservation belongs to this attachment. */
export function isHeldBy(owner: Owner, key: AttachmentKey): boolean {
  return owner.containerId === key.containerId && (owner.ifname === key.ifname || owner.ifname === "");
}

/** File name of an address (IPv6 has `:`, which Linux allows, and host-local keeps). */
export function reservationFile(address: Address): string {
  return formatAddress(address);
}

/** The address of a file name; null for `lock`, `last_reserved_ip.0` and the like. */
export function addressOfFile(name: string): Address | null {
  return parseAddress(name);
}

/**
 * Whether a reservation is from another boot: the store was last used under another boot ID, and the file is older
 * than this boot. Both must hold: the ID alone would condemn what another plugin reserved since, the clock alone
 * what was reserved before it was set right. Namespaces never outlive a boot, so such a reservation is stale.
 */
export function isFromAnotherBoot(facts: {
  readonly storeBootId: string | null;
  readonly bootId: string;
  readonly changedMs: number;
  readonly bootTimeMs: number;
}): boolean {
  const isOtherBoot = facts.storeBootId !== null && facts.storeBootId !== facts.bootId;
  return isOtherBoot && facts.changedMs < facts.bootTimeMs;
}
