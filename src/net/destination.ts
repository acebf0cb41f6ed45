import { type Family, parseAddress } from "./address.ts";
import { hostPrefix, type Prefix, parsePrefix } from "./prefix.ts";

/** A destination as `ip -j route` prints it: `default`, an address alone, or a prefix; null for anything else. */
export function parseDestination(text: string, family: Family): Prefix | null {
  if (text === "default") return { address: { family, value: 0n }, length: 0 };
  const address = parseAddress(text);
  return address === null ? parsePrefix(text) : hostPrefix(address);
}
