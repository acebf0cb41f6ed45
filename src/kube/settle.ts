/** Many touches, one call. */
export interface Settler {
  readonly touch: () => void;
  /** Forgets what is due. */
  readonly cancel: () => void;
}

/** Calls `emit` when `quietMs` have passed since the last touch, and at the latest `maxMs` after the first one. */
export function settle(emit: () => void, quietMs: number, maxMs: number): Settler {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let firstMs: number | null = null;
  const fire = () => {
    firstMs = null;
    emit();
  };
  return {
    touch: () => {
      const nowMs = performance.now();
      firstMs ??= nowMs;
      clearTimeout(timer);
      timer = setTimeout(fire, Math.max(0, Math.min(quietMs, firstMs + maxMs - nowMs)));
    },
    cancel: () => {
      clearTimeout(timer);
      firstMs = null;
    },
  };
}
