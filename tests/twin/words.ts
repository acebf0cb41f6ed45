import { type Address, formatAddress, parseAddress } from "../../src/net/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../../src/net/prefix.ts";
import type { RouteSpec } from "../../src/plan/step.ts";

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

/** A route in a few words, for messages. */
export function describeRoute({ dst, via, dev }: RouteSpec): string {
  return `${formatPrefix(dst)}${via === undefined ? "" : ` via ${formatAddress(via)}`} dev ${dev}`;
}
