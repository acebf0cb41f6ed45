import type { Host } from "../../host/machine.ts";
import type { Heartbeat } from "./health.ts";
import { judgeHint } from "./hints.ts";
import type { Journal } from "./journal.ts";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** A monitor that can't do its work ends sooner. */
const SETTLED_MS = 1_000;
/** A monitor that lived this long was well: the next one may start at once. */
const WELL_MS = 60_000;

/**
 * Follows the kernel's changes and starts the follower again when it ends. Without it everything is still found by the
 * timer, only later. `onLook`: something changed, maybe about the bridge; `onForget`: and with it how peers may be
 * reached. `beat`: call it at every pass.
 */
export function openMonitor(
  parts: { readonly host: Host; readonly journal: Journal; readonly heartbeat: Heartbeat },
  bridge: string,
  onLook: (what: "kernel" | "bridge") => void,
  onForget: () => void,
): { beat(): void; isOpen(): boolean; close(): void } {
  let isClosed = false;
  let isOpen = false;
  let began = 0;
  let pauseMs = FIRST_PAUSE_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let watch: { close(): void } | null = null;

  const start = () => {
    began = performance.now();
    isOpen = true;
    watch = parts.host.watchKernel(
      (hint) => {
        const verdict = judgeHint(hint, bridge);
        if (verdict === "forget") onForget();
        if (verdict !== "ignore") onLook(verdict === "bridge" ? "bridge" : "kernel");
      },
      (why) => {
        isOpen = false;
        if (isClosed) return;
        if (performance.now() - began > WELL_MS) pauseMs = FIRST_PAUSE_MS;
        parts.journal.state("monitor", `changes in the kernel are found by the timer alone: ${why}`);
        timer = setTimeout(start, pauseMs);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      },
    );
    // What changed while nobody looked.
    onLook("kernel");
    parts.heartbeat.beat();
  };
  start();
  return {
    beat: () => {
      if (!isOpen) return;
      parts.heartbeat.beat();
      if (performance.now() - began > SETTLED_MS) parts.journal.state("monitor", null);
    },
    isOpen: () => isOpen,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      watch?.close();
    },
  };
}
