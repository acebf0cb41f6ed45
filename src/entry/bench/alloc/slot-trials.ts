import type { AddressPool } from "../../../ipam/pool.ts";
import type { Trial, TrialFactory } from "./trial.ts";
import type { Workload } from "./workload.ts";

/** Operations of one sample; fewer where fewer slots are free, or where a sample would take too long. */
const SAMPLE = 256;
/** With fewer free slots than these a sample would be too short for the clock: see {@link isPaired}. */
const LEAST_FREE = 64;
/** Most slots that a trial goes through before it begins again. */
const RING = 4_096;

/**
 * Whether a range has so few free slots that each allocation of a sample is followed by its release, and both are timed
 * together. Several pools beside each other would not do: the engine's code is compiled for one WASM instance, and calls
 * to a second one take ten times as long, which no CNI call ever sees.
 */
export function isPaired({ free }: Workload): boolean {
  return free.length < LEAST_FREE;
}

/** The slots that a trial goes through. */
export function ringOf({ free }: Workload): readonly number[] {
  return free.slice(0, RING);
}

/** Most operations of a sample. */
export function operationsOf(workload: Workload): number {
  return isPaired(workload) ? SAMPLE : Math.min(SAMPLE, workload.free.length);
}

/** Throws unless an operation did what it should in each case: a benchmark of wrong answers says nothing. */
export function expectAll(what: string, found: number, wanted: number): void {
  if (found !== wanted) throw new Error(`an allocator ${what} ${found}, wanted ${wanted}`);
}

/**
 * The trials of one allocator by metric. The pool is loaded with the workload's bitmap, and is so again after each
 * sample. Each trial goes on where its last sample ended, so that over many samples all free slots take part, however
 * small a sample is.
 */
export function createSlotTrials(pool: AddressPool, workload: Workload): Record<string, TrialFactory> {
  const count = (size: number) => createCount(pool, workload.used, size);
  const ring = Int32Array.from(ringOf(workload));
  if (isPaired(workload)) {
    return {
      "next-fit and release": (size) => createNextFitPairs(pool, size),
      "static and release": (size) => createStaticPairs(pool, ring, size),
      count,
    };
  }
  return {
    "next-fit": (size) => createNextFit(pool, size),
    static: (size) => createStatic(pool, ring, size),
    release: (size) => createRelease(pool, ring, size),
    count,
  };
}

const nothing = () => undefined;

function createNextFit(pool: AddressPool, size: number): Trial {
  const taken = new Int32Array(size);
  let cursor = -1;
  return {
    size,
    prepare: nothing,
    run: () => {
      let claimed = 0;
      for (let done = 0; done < size; done++) {
        cursor = pool.nextFree(cursor) ?? -1;
        if (pool.claim(cursor)) claimed++;
        taken[done] = cursor;
      }
      expectAll("claimed", claimed, size);
    },
    restore: () => {
      for (const slot of taken) pool.release(slot);
    },
  };
}

function createStatic(pool: AddressPool, ring: Int32Array, size: number): Trial {
  let from = 0;
  return {
    size,
    prepare: nothing,
    run: () => {
      expectAll("claimed", claimAll(pool, ring, from, size), size);
    },
    restore: () => {
      releaseAll(pool, ring, from, size);
      from = (from + size) % ring.length;
    },
  };
}

function createRelease(pool: AddressPool, ring: Int32Array, size: number): Trial {
  let from = 0;
  return {
    size,
    prepare: () => {
      claimAll(pool, ring, from, size);
    },
    run: () => {
      expectAll("released", releaseAll(pool, ring, from, size), size);
    },
    restore: () => {
      from = (from + size) % ring.length;
    },
  };
}

/** Both return how many slots they changed. */
function claimAll(pool: AddressPool, ring: Int32Array, from: number, size: number): number {
  let changed = 0;
  for (let done = 0, at = from; done < size; done++) {
    if (pool.claim(ring[at] ?? -1)) changed++;
    at = at + 1 === ring.length ? 0 : at + 1;
  }
  return changed;
}

function releaseAll(pool: AddressPool, ring: Int32Array, from: number, size: number): number {
  let changed = 0;
  for (let done = 0, at = from; done < size; done++) {
    if (pool.release(ring[at] ?? -1)) changed++;
    at = at + 1 === ring.length ? 0 : at + 1;
  }
  return changed;
}

function createNextFitPairs(pool: AddressPool, size: number): Trial {
  let cursor = -1;
  return {
    size,
    prepare: nothing,
    run: () => {
      let changed = 0;
      for (let done = 0; done < size; done++) {
        cursor = pool.nextFree(cursor) ?? -1;
        if (pool.claim(cursor) && pool.release(cursor)) changed++;
      }
      expectAll("claimed and released", changed, size);
    },
    restore: nothing,
  };
}

function createStaticPairs(pool: AddressPool, ring: Int32Array, size: number): Trial {
  let at = 0;
  return {
    size,
    prepare: nothing,
    run: () => {
      let changed = 0;
      for (let done = 0; done < size; done++) {
        const slot = ring[at] ?? -1;
        if (pool.claim(slot) && pool.release(slot)) changed++;
        at = at + 1 === ring.length ? 0 : at + 1;
      }
      expectAll("claimed and released", changed, size);
    },
    restore: nothing,
  };
}

function createCount(pool: AddressPool, used: number, size: number): Trial {
  return {
    size,
    prepare: nothing,
    run: () => {
      let total = 0;
      for (let done = 0; done < size; done++) total += pool.count();
      expectAll("counted", total, size * used);
    },
    restore: nothing,
  };
}
