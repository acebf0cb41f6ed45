import type { Suite } from "../context.ts";
import { measureFresh } from "./fresh.ts";
import { measureHostLocal } from "./host-local.ts";
import { measureWarm } from "./warm.ts";

/**
 * Giving and taking back addresses: the WASM pool against plain TypeScript, a Set of strings and BigInt, warm and in
 * fresh processes, and whole calls against host-local. Throws HostError, and an Error when an allocator gives wrong addresses.
 */
export const measureAlloc: Suite = async (context) => {
  await measureWarm(context);
  await measureFresh(context);
  await measureHostLocal(context);
};
