import type { NodeListener } from "./source.ts";

/** A listener that hears nothing more once the signal is aborted: work in flight may still come to its end. */
export function untilAborted(listener: NodeListener, signal: AbortSignal): NodeListener {
  const unless = (tell: () => void): void => {
    if (!signal.aborted) tell();
  };
  return {
    snapshot: (snapshot) => unless(() => listener.snapshot(snapshot)),
    state: (fault) => unless(() => listener.state(fault)),
    beat: () => unless(() => listener.beat()),
    count: (what) => unless(() => listener.count(what)),
    ownNetworkUnavailable: (unavailable) => unless(() => listener.ownNetworkUnavailable?.(unavailable)),
  };
}

/** Tells a listener of the own Node's NetworkUnavailable, only when it is not what it was told last. */
export function tellOwn({ ownNetworkUnavailable }: NodeListener): (unavailable: boolean | null) => void {
  let told: boolean | null | undefined;
  return (unavailable) => {
    if (told === unavailable) return;
    told = unavailable;
    ownNetworkUnavailable?.(unavailable);
  };
}
