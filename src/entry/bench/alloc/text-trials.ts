import type { AddressPool } from "../../../ipam/pool.ts";
import { addressOfSlot, type RangeSet, slotOfAddress } from "../../../ipam/range.ts";
import { formatAddress, parseAddress } from "../../../net/address.ts";
import { expectAll, isPaired, ringOf } from "./slot-trials.ts";
import type { StringPool } from "./string-pool.ts";
import type { Trial, TrialFactory } from "./trial.ts";
import type { Workload } from "./workload.ts";

/** An allocator by the texts of addresses. */
interface TextPool {
  /** Claims the next free address behind the cursor and gives it; "" when there is none. */
  readonly take: (cursor: string) => string;
  /** Both: false when it was so already. */
  readonly claim: (text: string) => boolean;
  readonly release: (text: string) => boolean;
}

/** As an allocation does it: text to address, address to slot, and back. */
function overSlots(pool: AddressPool, set: RangeSet): TextPool {
  const slotOf = (text: string): number => {
    const address = parseAddress(text);
    return (address === null ? null : slotOfAddress(set, address)) ?? -1;
  };
  return {
    take: (cursor) => {
      const slot = pool.nextFree(slotOf(cursor));
      if (slot === null || !pool.claim(slot)) return "";
      const place = addressOfSlot(set, slot);
      return place === null ? "" : formatAddress(place.address);
    },
    claim: (text) => pool.claim(slotOf(text)),
    release: (text) => pool.release(slotOf(text)),
  };
}

/** The strong side of a Set of texts: what comes in is the key already. */
function overTexts(pool: StringPool): TextPool {
  return {
    take: (cursor) => {
      const text = pool.nextText(cursor);
      return text !== null && pool.claimText(text) ? text : "";
    },
    claim: pool.claimText,
    release: pool.releaseText,
  };
}

/**
 * As `createSlotTrials`, with addresses as text at both ends: "next-fit" takes the text of the cursor and gives the text
 * of an address, "static" takes the text of the address that is asked for.
 */
export function createTextTrials(
  pool: AddressPool | StringPool,
  workload: Workload,
): Record<string, TrialFactory> {
  const texts = "nextText" in pool ? overTexts(pool) : overSlots(pool, workload.set);
  const ring = ringOf(workload).map((slot) => textOfSlot(workload.set, slot));
  const first = textOfSlot(workload.set, 0);
  const areTogether = isPaired(workload);
  const suffix = areTogether ? " and release" : "";
  return {
    [`next-fit${suffix}`]: (size) => createNextFit(texts, first, size, areTogether),
    [`static${suffix}`]: (size) => createStatic(texts, ring, size, areTogether),
  };
}

function textOfSlot(set: RangeSet, slot: number): string {
  const place = addressOfSlot(set, slot);
  if (place === null) throw new RangeError(`no slot ${slot}`);
  return formatAddress(place.address);
}

function createNextFit(texts: TextPool, first: string, size: number, areTogether: boolean): Trial {
  const taken: string[] = new Array(size).fill("");
  let cursor = first;
  return {
    size,
    prepare: () => undefined,
    run: () => {
      for (let done = 0; done < size; done++) {
        cursor = texts.take(cursor);
        taken[done] = cursor;
        if (areTogether) texts.release(cursor);
      }
      if (cursor === "") throw new Error("an allocator found no free address");
    },
    restore: () => {
      if (areTogether) return;
      for (const text of taken) texts.release(text);
    },
  };
}

function createStatic(texts: TextPool, ring: readonly string[], size: number, areTogether: boolean): Trial {
  let from = 0;
  const at = (done: number) => ring[(from + done) % ring.length] ?? "";
  return {
    size,
    prepare: () => undefined,
    run: () => {
      let changed = 0;
      for (let done = 0; done < size; done++) {
        const text = at(done);
        if (texts.claim(text) && (!areTogether || texts.release(text))) changed++;
      }
      expectAll("claimed", changed, size);
    },
    restore: () => {
      if (!areTogether) for (let done = 0; done < size; done++) texts.release(at(done));
      from = (from + size) % ring.length;
    },
  };
}
