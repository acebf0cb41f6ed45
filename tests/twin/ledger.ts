import type { Ledger } from "../../src/ipam/allocate.ts";
import { type Address, formatAddress, parseAddress } from "../../src/net/address.ts";

/** A store in memory: `held` has the reserved addresses as text, `bitmaps` and `cursors` what was kept by set. */
export interface MemoryLedger extends Ledger {
  readonly held: Set<string>;
  readonly bitmaps: Map<number, Uint8Array>;
  readonly cursors: Map<number, Address>;
}

/** An empty store; `keeps` false: nothing derived is ever kept, as after an accident. */
export function createMemoryLedger(keeps = true): MemoryLedger {
  const held = new Set<string>();
  const bitmaps = new Map<number, Uint8Array>();
  const cursors = new Map<number, Address>();
  return {
    held,
    bitmaps,
    cursors,
    bitmap: (set) => bitmaps.get(set) ?? null,
    reserved: () => [...held].flatMap((text) => parseAddress(text) ?? []),
    cursor: (set) => cursors.get(set) ?? null,
    claim: (address) => {
      const text = formatAddress(address);
      if (held.has(text)) return false;
      held.add(text);
      return true;
    },
    release: (address) => {
      held.delete(formatAddress(address));
    },
    keep: (set, bitmap, cursor) => {
      if (keeps && bitmap !== null) bitmaps.set(set, bitmap.slice());
      cursors.set(set, cursor);
    },
  };
}
