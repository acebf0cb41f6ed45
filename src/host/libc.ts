import { dlopen, type FFIFunction, FFIType } from "bun:ffi";
import { HostError } from "./errors.ts";

const SIGNATURES = {
  /** Variadic in C, as fcntl is; on Linux a pointer argument is passed alike. */
  ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  send: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  pipe2: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  poll: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
  close: { args: [FFIType.i32], returns: FFIType.i32 },
} as const;

type Libc = ReturnType<typeof dlopen<typeof SIGNATURES>>["symbols"];

let loaded: Libc | null = null;

/** The few C library calls that node:fs does not offer; loaded on first use (0–1 ms). Throws HostError without one. */
export function libc(): Libc {
  loaded ??= openLibc(SIGNATURES);
  return loaded;
}

/**
 * Other calls of the C library, for those who need more than {@link libc} has: each costs a CNI call time when it is
 * loaded. Throws HostError without one.
 */
export function openLibc<T extends Record<string, FFIFunction>>(
  signatures: T,
): ReturnType<typeof dlopen<T>>["symbols"] {
  const names = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];
  for (const name of names) {
    try {
      return dlopen(name, signatures).symbols;
    } catch {
      // The other C library, then.
    }
  }
  throw new HostError(
    `no C library found (tried ${names.join(", ")})`,
    "run on a glibc or musl Linux system",
  );
}
