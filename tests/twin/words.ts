import { type Address, parseAddress } from "../../src/net/address.ts";
import { type Prefix, parsePrefix } from "../../src/net/prefix.ts";

/** The address a test writes as text. Throws RangeError for a slip of the pen. */
export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === null) throw new RangeError(`not an address: ${text}`);
  return parsed;
}

/** The prefix a test writes as text. Throws RangeError for a slip of the pen. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === null) throw new RangeError(`not a prefix: ${text}`);
  return parsed;
}

/** What `work` throws; fails when it returns. */
export function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("expected a throw, got a return");
}
