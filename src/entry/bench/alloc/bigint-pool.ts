import {
  type AddressPool,
  bitmapBytes,
  MAX_SLOTS,
  requireInteger,
  requireLength,
} from "../../../ipam/pool.ts";
import { countOnes } from "./words-pool.ts";

/** Bits looked at first for a free slot; doubled while there is none, so that a scan as a whole stays linear. */
const FIRST_WINDOW = 256;

/**
 * A rival of the WASM pool: one BigInt as the bitmap, slot s is bit s. BigInts never change in place, so whatever sets a
 * bit copies all of them. Throws RangeError as the WASM pool does.
 */
export function createBigIntPool(capacity: number): AddressPool {
  requireInteger("capacity", capacity, 1, MAX_SLOTS);
  const last = capacity - 1;
  const length = bitmapBytes(capacity);
  let bits = 0n;

  /** The bits as bytes, lowest last. By hexadecimal text, the one way out of a BigInt that is linear and native. */
  const toBytes = () => Buffer.from(bits.toString(16).padStart(length * 2, "0"), "hex");

  /** The first free slot in from … to − 1, or null. */
  const scan = (from: number, to: number): number | null => {
    const rest = bits >> BigInt(from);
    for (let window = FIRST_WINDOW; ; window *= 2) {
      const part = BigInt.asUintN(window, rest);
      // Adding one flips the ones at the low end and the zero above them: those bits are left, and no others.
      const ones = (part ^ (part + 1n)).toString(2).length - 1;
      if (ones < window) return from + ones < to ? from + ones : null;
      if (from + window >= to) return null;
    }
  };

  return {
    capacity,
    claim(slot) {
      requireInteger("slot", slot, 0, last);
      const claimed = bits | (1n << BigInt(slot));
      if (claimed === bits) return false;
      bits = claimed;
      return true;
    },
    release(slot) {
      requireInteger("slot", slot, 0, last);
      const bit = 1n << BigInt(slot);
      if ((bits & bit) === 0n) return false;
      bits ^= bit;
      return true;
    },
    has(slot) {
      requireInteger("slot", slot, 0, last);
      return (bits & (1n << BigInt(slot))) !== 0n;
    },
    nextFree(cursor) {
      requireInteger("cursor", cursor, -1, last);
      return scan(cursor + 1, capacity) ?? scan(0, cursor + 1);
    },
    count() {
      const bytes = toBytes();
      let total = 0;
      for (let at = 0; at < length; at += 4) total += countOnes(bytes.readUInt32LE(at));
      return total;
    },
    bytes: () => new Uint8Array(toBytes().reverse()),
    load(bytes) {
      requireLength(bytes, length);
      const hex = Buffer.from(bytes).reverse().toString("hex");
      bits = BigInt.asUintN(capacity, BigInt(`0x${hex}`));
    },
  };
}
