// The one exception to "only src/host touches the machine": the WASM files are assets embedded in the
// binary, so reading them is part of loading the program (as an import would be), not an effect on the node.
import { readFileSync } from "node:fs";
import poolPath from "../../wasm/build/minicni.wasm" with { type: "file" };
import routesPath from "../../wasm/build/routes.wasm" with { type: "file" };

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

/** What wasm/assembly/routes.ts exports; as above. A reserve may grow `memory`, which detaches its old buffer. */
export interface RouteExports {
  readonly memory: WebAssembly.Memory;
  /** Byte address for this many desired records; 0: no memory. The table is empty afterwards. */
  readonly reserveDesired: (count: number) => number;
  /** Byte address for this many observed records; 0: no memory. */
  readonly reserveObserved: (count: number) => number;
  /** −1, or the index of a desired record whose destination was there already. */
  readonly indexDesired: (count: number) => number;
  /** Compares what was written with what is indexed; `protocol` marks ours. */
  readonly diff: (count: number, protocol: number) => void;
  /** Byte address and number of pairs (desired, observed or −1). */
  readonly upsertsPtr: () => number;
  readonly upsertCount: () => number;
  /** Byte address and number of pairs (desired, observed). */
  readonly conflictsPtr: () => number;
  readonly conflictCount: () => number;
  /** Byte address and number of pairs (observed, desired or −1). */
  readonly deletionsPtr: () => number;
  readonly deletionCount: () => number;
}

let pool: WebAssembly.Module | undefined;
let routes: WebAssembly.Module | undefined;

/**
 * A fresh instance with its own memory. The file is read and compiled on the first call only, so a command
 * that never allocates pays nothing. Synchronous, because a CNI call has nothing else to do meanwhile.
 *
 * Throws what `readFileSync` or `WebAssembly.Module` throw when the asset is missing or damaged.
 */
export function instantiatePool(): PoolExports {
  pool ??= new WebAssembly.Module(readFileSync(poolPath));
  // The cast is the border between untyped WASM exports and their declaration; the contract suite in
  // tests/unit/wasm holds the two together.
  return new WebAssembly.Instance(pool).exports as unknown as PoolExports;
}

/** As {@link instantiatePool}, for the route diff. */
export function instantiateRoutes(): RouteExports {
  routes ??= new WebAssembly.Module(readFileSync(routesPath));
  return new WebAssembly.Instance(routes).exports as unknown as RouteExports;
}
