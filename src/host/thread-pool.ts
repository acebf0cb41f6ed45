import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

const CALLS = { setenv: { args: [FFIType.ptr, FFIType.ptr, FFIType.i32], returns: FFIType.i32 } } as const;

/**
 * Gives this process more threads for file operations than it has processors: some of ours wait in the kernel and compute
 * nothing. Bun reads the variable (libuv's, as Node.js does) when the first of them starts; afterwards this does nothing.
 */
export function widenThreadPool(threads: number): void {
  const text = (value: string) => ptr(new TextEncoder().encode(`${value}\0`));
  openLibc(CALLS).setenv(text("UV_THREADPOOL_SIZE"), text(String(threads)), 0);
}
