/** How long a new value has to hold before it counts, in milliseconds: longer than a restart of DHCP takes. */
const HOLD_MS = 5_000;

/** A value that follows another one only when that has held: what flaps is not followed. `now`: monotonic milliseconds. */
export function createSteady<T>(now: () => number): (value: T) => T {
  let settled: { readonly value: T } | null = null;
  let candidate: { readonly value: T; readonly since: number } | null = null;
  return (value) => {
    settled ??= { value };
    if (value === settled.value) {
      candidate = null;
      return value;
    }
    if (candidate?.value !== value) candidate = { value, since: now() };
    if (now() - candidate.since >= HOLD_MS) {
      settled = { value };
      candidate = null;
    }
    return settled.value;
  };
}
