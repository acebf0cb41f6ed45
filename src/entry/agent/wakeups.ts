/** Why a pass is due. */
export type Reason = "start" | "nodes" | "kernel" | "bridge" | "timer";

/** Whether it is only a word of the kernel's about one thing, not a call to look at everything. */
export function isHint(reason: Reason): boolean {
  return reason === "kernel" || reason === "bridge";
}

/** What the loop waits for; many reasons make one pass. Times in milliseconds, monotonic. */
export interface Wakeups {
  /** Something happened: look again, after what comes with it. */
  wake(reason: Reason): void;
  /**
   * Until `dueMs` from now, or until a reason came and {@link SETTLE_MS} passed without another (at most
   * {@link SETTLE_LIMIT_MS}). Returns the reasons; empty when only time has passed or it was closed.
   */
  wait(dueMs: number): Promise<ReadonlySet<Reason>>;
  /** Ends every wait, now and later. */
  close(): void;
  isClosed(): boolean;
}

/** A burst (ten nodes that join, `iptables -F` by a firewall's restart) becomes one pass. */
const SETTLE_MS = 50;
const SETTLE_LIMIT_MS = 500;

export function createWakeups(): Wakeups {
  let reasons = new Set<Reason>();
  let isClosed = false;
  let stir: () => void = () => undefined;
  const pause = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      stir = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  return {
    wake: (reason) => {
      reasons.add(reason);
      stir();
    },
    wait: async (dueMs) => {
      if (reasons.size === 0 && !isClosed) await pause(Math.max(0, dueMs));
      const end = performance.now() + SETTLE_LIMIT_MS;
      let seen = -1;
      let stirs = 0;
      while (reasons.size > 0 && !isClosed && stirs !== seen && performance.now() < end) {
        seen = stirs;
        const before = performance.now();
        await pause(SETTLE_MS);
        // Woken before its time: somebody came.
        if (performance.now() - before < SETTLE_MS - 1) stirs++;
      }
      const taken = reasons;
      reasons = new Set();
      return taken;
    },
    close: () => {
      isClosed = true;
      stir();
    },
    isClosed: () => isClosed,
  };
}
