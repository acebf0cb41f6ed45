import { mock } from "bun:test";
import * as module from "../../src/wasm/module.ts";

const real = { ...module };

/**
 * From now on all pools of this process are in one and the same WASM instance: making one takes the engine
 * milliseconds, of which a hundred thousand calls have none to spare. Holds while no two pools are used in turns, and
 * no call does that. Returns how to end this.
 */
export async function shareWasmInstance(): Promise<() => Promise<void>> {
  const one = real.instantiatePool();
  await mock.module("../../src/wasm/module.ts", () => ({ instantiatePool: () => one }));
  return async () => {
    await mock.module("../../src/wasm/module.ts", () => real);
  };
}
