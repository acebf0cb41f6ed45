import { type Address, addressBits, formatAddress, parseAddress } from "./address.ts";

/** An IP network or an interface address: an address and a prefix length in bits. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

const LENGTH = /^(0|[1-9][0-9]{0,2})$/;

/** Parses `address/length`; host bits may be set (see {@link hasHostBits}). Null when it is not one. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf("/");
  if (slash < 0) return null;
  const address = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === null || !LENGTH.test(digits)) return null;
  const length = Number(digits);
  return length > addressBits(address.family) ? null : { address, length };
}

/** `address/length`, the address in canonical text. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

function hostBits(prefix: Prefix): bigint {
  return BigInt(addressBits(prefix.address.family) - prefix.length);
}

/** The network itself: the same prefix with all host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const bits = hostBits(prefix);
  const value = (prefix.address.value >> bits) << bits;
  return { address: { family: prefix.address.family, value }, length: prefix.length };
}

/** Whether any bit behind the prefix length is set (`10.1.2.3/24`: yes). */
export function hasHostBits(prefix: Prefix): boolean {
  return networkOf(prefix).address.value !== prefix.address.value;
}

/** The highest address of the network (IPv4: the broadcast address). */
export function lastAddress(prefix: Prefix): Address {
  const value = networkOf(prefix).address.value + (1n << hostBits(prefix)) - 1n;
  return { family: prefix.address.family, value };
}

/** Whether the network holds the address; false across families. */
export function contains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false;
  const bits = hostBits(prefix);
  return prefix.address.value >> bits === address.value >> bits;
}

/** Whether two networks share an address; false across families. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  const [wide, narrow] = a.length <= b.length ? [a, b] : [b, a];
  return contains(wide, narrow.address);
}

/** Whether both have the same address and length. */
export function isSamePrefix(a: Prefix, b: Prefix): boolean {
  return (
    a.length === b.length && a.address.family === b.address.family && a.address.value === b.address.value
  );
}

/** The prefix that holds only this address (/32 or /128). */
export function hostPrefix(address: Address): Prefix {
  return { address, length: addressBits(address.family) };
}
