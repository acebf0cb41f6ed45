/** Seconds without a word after which a person is told that it goes on. */
const QUIET_S = 15;

/** What goes on, for a person who waits. */
export interface Progress {
  readonly tell: (text: string) => void;
  readonly close: () => void;
}

/**
 * Tells each thing with the time since the start, and what lasts long again and again. `write` takes a line; `now` gives
 * milliseconds; `repeat` calls back each second until what it returns is called.
 */
export function createProgress(
  write: (line: string) => void,
  now: () => number = () => performance.now(),
  repeat: (work: () => void) => () => void = everySecond,
): Progress {
  const began = now();
  let last = { text: "", since: began, told: began };
  const line = (text: string) => write(`[${formatTime(now() - began)}] ${text}`);
  const stop = repeat(() => {
    if (last.text === "" || now() - last.told < QUIET_S * 1000) return;
    last = { ...last, told: now() };
    line(`${last.text}: for ${Math.round((now() - last.since) / 1000)} s now`);
  });
  return {
    tell: (text) => {
      last = { text, since: now(), told: now() };
      line(text);
    },
    close: stop,
  };
}

/** "12:05", minutes and seconds. */
function formatTime(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function everySecond(work: () => void): () => void {
  const timer = setInterval(work, 1000);
  return () => clearInterval(timer);
}
