import { bitmapBytes } from "../../../ipam/pool.ts";
import { ENGINES, type EngineName, loadEngine } from "./engines.ts";
import { describePlace } from "./workload.ts";

/** How full the range is in which a fresh process allocates. */
export const COLD_FULLNESS = 0.5;
/** Every second slot, the gateway among them. Not scattered: to make that would be the longest part of the process. */
const EVERY_SECOND = 0x55;
const FIRST_FREE = 1;

/** What a fresh process found. */
export interface ColdTurn {
  /** Microseconds from before the engine was loaded until it had given its first address. */
  readonly firstUs: number;
  /** The slot that it gave. */
  readonly slot: number;
}

/** What a fresh process is told to try: "Uint32Array/16" is an engine in a /16. */
export function formatColdEngine(engine: EngineName, length: number): string {
  return `${engine}/${length}`;
}

/**
 * The first allocation of a fresh process: loads the engine (WASM: reads, compiles and instantiates the module), loads
 * the bitmap of a half full range into it and takes the next free slot. Returns one line of JSON, a {@link ColdTurn}.
 * Throws RangeError for an engine that is none, and an Error when the address is a wrong one.
 */
export async function runColdAlloc(engine: string): Promise<string> {
  const { name, length } = parseColdEngine(engine);
  const { capacity } = describePlace(length);
  const bitmap = new Uint8Array(bitmapBytes(capacity)).fill(EVERY_SECOND);
  const began = performance.now();
  const pool = (await loadEngine(name))(capacity);
  pool.load(bitmap);
  const slot = pool.nextFree(-1) ?? -1;
  const isClaimed = pool.claim(slot);
  const firstUs = (performance.now() - began) * 1000;
  if (!isClaimed || slot !== FIRST_FREE) throw new Error(`${engine} gave slot ${slot}, wanted ${FIRST_FREE}`);
  return `${JSON.stringify({ firstUs, slot } satisfies ColdTurn)}\n`;
}

function parseColdEngine(text: string): { name: EngineName; length: number } {
  const [name, length = "16"] = text.split("/");
  const engine = ENGINES.find((known) => known === name);
  if (engine === undefined) throw new RangeError(`no engine is called ${text}`);
  return { name: engine, length: Number(length) };
}
