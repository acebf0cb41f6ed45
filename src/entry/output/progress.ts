import type { Screen } from "./screen.ts";

/** What is told of something that takes longer. */
export interface Progress {
  /** What is being done now. */
  tell(what: string): void;
  /** It is over: the line is wiped. */
  close(): void;
}

/** Runs `work` while what it tells is shown. */
export async function withProgress<T>(
  screen: Pick<Screen, "printError" | "isWatched">,
  work: (tell: Progress["tell"]) => T | Promise<T>,
): Promise<T> {
  const progress = createProgress(screen);
  try {
    return await work(progress.tell);
  } finally {
    progress.close();
  }
}

/** What is over sooner is not worth a word. */
const PATIENCE_MS = 1_000;
const PERIOD_MS = 100;
const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/**
 * One line on standard error that says what is being done, from the first second on: on a terminal it moves and is wiped
 * at the end; else each thing is told once, on a line of its own.
 */
export function createProgress({
  printError,
  isWatched,
}: Pick<Screen, "printError" | "isWatched">): Progress {
  const began = performance.now();
  let what = "";
  let told = "";
  let frame = 0;
  let isShown = false;
  const show = () => {
    if (what === "" || performance.now() - began < PATIENCE_MS) return;
    if (isWatched) {
      isShown = true;
      printError(`\r\x1b[K${FRAMES[frame++ % FRAMES.length] ?? ""} ${what}`);
    } else if (told !== what) {
      told = what;
      printError(`${what} …\n`);
    }
  };
  const timer = setInterval(show, PERIOD_MS);
  timer.unref();
  return {
    tell: (text) => {
      what = text;
      show();
    },
    close: () => {
      clearInterval(timer);
      if (isShown) printError("\r\x1b[K");
    },
  };
}
