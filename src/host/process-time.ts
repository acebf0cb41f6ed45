import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

const CALLS = { clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } } as const;
/** CPUCLOCK_SCHED of linux/posix-timers.h: all that the scheduler gave to a process, in nanoseconds. */
const CPUCLOCK_SCHED = 2;

let symbols: ReturnType<typeof openLibc<typeof CALLS>> | null = null;

/**
 * Processor time of another process so far, in milliseconds, exact to the microsecond: of all its threads, those that
 * ended included, and of no child. Null when there is no such process.
 *
 * /proc/PID/stat counts in ticks of 10 ms, and /proc/PID/schedstat one thread alone; so it is the process's own clock
 * (clock_getcpuclockid(3), whose arithmetic this is).
 */
export function processTimeMs(pid: number): number | null {
  symbols ??= openLibc(CALLS);
  const time = new BigInt64Array(2);
  if (symbols.clock_gettime((~pid << 3) | CPUCLOCK_SCHED, ptr(time)) !== 0) return null;
  const [seconds = 0n, nanoseconds = 0n] = time;
  return Number(seconds) * 1_000 + Number(nanoseconds) / 1_000_000;
}
