import { createRandom } from "../statistics.ts";

/** The same scattered slots in every run. */
const SEED = 2026;

/** How many of `capacity` slots are used; below 1 (a part, not percent) at least one slot stays free. */
export function usedOf(capacity: number, fullness: number): number {
  return Math.floor(capacity * fullness);
}

/**
 * `wanted` of the numbers 0 … count − 1, scattered evenly, in ascending order, the same in every run (selection sampling:
 * Knuth, The Art of Computer Programming, vol. 2, §3.4.2, algorithm S). All of them when there are not so many.
 */
export function chooseScattered(count: number, wanted: number, seed = SEED): number[] {
  const random = createRandom(seed);
  const chosen: number[] = [];
  for (let number = 0; number < count && chosen.length < wanted; number++) {
    if (random() * (count - number) < wanted - chosen.length) chosen.push(number);
  }
  return chosen;
}
