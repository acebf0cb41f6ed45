import type { AddressPool } from "../../../ipam/pool.ts";
import type { StringPool } from "./string-pool.ts";
import { FIRST_ADDRESS } from "./workload.ts";

/** Allocators that are compared, by the names of their figures: ours, then its rivals. */
export const ENGINES = ["WASM", "Uint32Array", "Set of strings", "BigInt"] as const;
export type EngineName = (typeof ENGINES)[number];

/** Makes an empty pool; slot 0 is {@link FIRST_ADDRESS} to those that deal in text. */
export type EngineFactory = (capacity: number) => AddressPool | StringPool;

/** Loads an engine. Only now, and it alone: what loading takes is part of what a fresh process pays. */
export async function loadEngine(name: EngineName): Promise<EngineFactory> {
  switch (name) {
    case "WASM":
      return (await import("../../../wasm/pool.ts")).createWasmPool;
    case "Uint32Array":
      return (await import("./words-pool.ts")).createWordsPool;
    case "BigInt":
      return (await import("./bigint-pool.ts")).createBigIntPool;
    case "Set of strings": {
      const { createStringPool } = await import("./string-pool.ts");
      return (capacity) => createStringPool(capacity, FIRST_ADDRESS);
    }
  }
}
