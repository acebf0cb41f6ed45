import type { Address } from "./address.ts";
import { hashHex } from "./hash.ts";

const MAC = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i;

/** Parses a unicast 48-bit MAC, colons or dashes between, to lower-case colon text. Null for anything else (multicast and all-zero included). */
export function parseMac(text: string): string | null {
  if (!MAC.test(text)) return null;
  const mac = text.toLowerCase().replaceAll("-", ":");
  // Bit 0 of the first octet is the group bit (IEEE 802): the kernel refuses it with EADDRNOTAVAIL.
  const isGroup = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
  return isGroup || mac === "00:00:00:00:00:00" ? null : mac;
}

/**
 * The MAC that goes with an address: `0a:58` (locally administered, unicast) and 32 bits of it. The same address
 * has the same MAC for ever, so a neighbour entry of its former owner stays right (plugins#756: a 10 s outage).
 */
export function macOfAddress(address: Address): string {
  const hex =
    address.family === 4
      ? address.value.toString(16).padStart(8, "0")
      : hashHex(address.value.toString(16)).slice(0, 8);
  return `0a:58:${pairs(hex)}`;
}

/** A stable MAC for a link that has no address, from its name: `0e:` and 40 bits of hash. */
export function macOfName(name: string): string {
  return `0e:${pairs(hashHex(name).slice(0, 10))}`;
}

function pairs(hex: string): string {
  return hex.replace(/(..)(?=.)/g, "$1:");
}
