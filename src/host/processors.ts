import { FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { openLibc } from "./libc.ts";

/** Bytes of cpu_set_t (sched.h): 1024 processors. */
const SET_BYTES = 128;

/** Numbers of the processors that this process may run on, in order; one at least. */
function allowedProcessors(): number[] {
  const found = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return parseProcessors(found ?? "0");
}

/**
 * Where both ends of a path are measured: on one processor, so that the work on the path counts, and not whether the
 * scheduler wakes another one up for it, which can take longer than the path. The last one has the fewest interrupts.
 */
export function benchProcessor(): number {
  return allowedProcessors().at(-1) ?? 0;
}

/** A list as the kernel prints it (`0-3,8`). */
export function parseProcessors(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** This thread, and no other of the process, stays on one processor from now on. Returns whether the kernel agreed. */
export function stayOn(processor: number): boolean {
  const calls = openLibc({
    sched_setaffinity: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  });
  const set = new Uint8Array(SET_BYTES);
  set[processor >> 3] = 1 << (processor & 7);
  return calls.sched_setaffinity(0, set.length, ptr(set)) === 0;
}
