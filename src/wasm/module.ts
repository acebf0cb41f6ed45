// The one exception to "only src/host touches the machine": the WASM file is an asset embedded in the
// binary, so reading it is part of loading the program (as an import would be), not an effect on the node.
import { readFileSync } from "node:fs";
import wasmPath from "../../wasm/build/minicni.wasm" with { type: "file" };

/** What wasm/assembly/pool.ts exports; only numbers cross, and nothing on the far side checks a range. */
export interface PoolExports {
  readonly memory: WebAssembly.Memory;
  /** Byte address of the bitmap in `memory`. */
  readonly bitmapPtr: () => number;
  /** Empties the pool and sets its number of slots. */
  readonly init: (capacity: number) => void;
  /** Clears the bits at or beyond the capacity. */
  readonly trim: () => void;
  /** 1 when changed, 0 when it already was so. */
  readonly claim: (slot: number) => number;
  /** 1 when changed, 0 when it already was so. */
  readonly release: (slot: number) => number;
  /** 1 when used, else 0. */
  readonly has: (slot: number) => number;
  /** A slot, or −1 when every slot is used. */
  readonly nextFree: (cursor: number) => number;
  readonly count: () => number;
}

let compiled: WebAssembly.Module | undefined;

/**
 * A fresh instance with its own memory. The file is read and compiled on the first call only, so a command
 * that never allocates pays nothing. Synchronous, because a CNI call has nothing else to do meanwhile.
 *
 * Throws what `readFileSync` or `WebAssembly.Module` throw when the asset is missing or damaged.
 */
export function instantiatePool(): PoolExports {
  compiled ??= new WebAssembly.Module(readFileSync(wasmPath));
  // The cast is the border between untyped WASM exports and their declaration; the contract suite in
  // tests/unit/wasm holds the two together.
  return new WebAssembly.Instance(compiled).exports as unknown as PoolExports;
}
