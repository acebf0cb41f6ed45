/** Throws RangeError unless `value` is a whole number in `least` … `most`: the checks that the WASM pool makes as well. */
export function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be an integer in ${least} … ${most}, got ${value}`);
  }
}

/** Throws RangeError unless a bitmap is as long as that of the pool. */
export function requireLength(bytes: Uint8Array, wanted: number): void {
  if (bytes.length !== wanted) throw new RangeError(`bitmap must be ${wanted} bytes, got ${bytes.length}`);
}
