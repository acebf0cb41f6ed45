import type { Check } from "./check.ts";
import { conntrackCheck } from "./checks/a10-conntrack.ts";

/** Every check, in the order of their names. One line each. */
export const CHECKS: readonly Check[] = [
  conntrackCheck, // A10
];
