import type { Terminal } from "../../host/terminal.ts";
import { createPaint, type Paint } from "./paint.ts";

/** Where a command for people writes, and how. */
export interface Screen {
  /** Writes to standard output. */
  readonly print: (text: string) => void;
  /** Writes to standard error, where progress goes. */
  readonly printError: (text: string) => void;
  /** Characters a line; null: as many as it takes. */
  readonly width: number | null;
  readonly paint: Paint;
  /** Whether a person watches standard error: what is over soon may be told and wiped. */
  readonly isWatched: boolean;
}

/** The two outputs of a process. */
export interface Outputs {
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  readonly stdout: Terminal;
  readonly stderr: Terminal;
}

/** Less than this is no line any more. */
const LEAST_COLUMNS = 20;
const MOST_COLUMNS = 1000;

/**
 * Colours only on a terminal that has them (TERM is not "dumb") and without NO_COLOR (no-color.org: set and not empty);
 * the width of the terminal, or what COLUMNS says where there is none.
 */
export function openScreen(
  { print, printError, stdout, stderr }: Outputs,
  env: Readonly<Record<string, string | undefined>>,
): Screen {
  const isPlain = !stdout.isTerminal || env.TERM === "dumb" || Boolean(env.NO_COLOR);
  return {
    print,
    printError,
    width: stdout.columns ?? parseColumns(env.COLUMNS),
    paint: createPaint(!isPlain),
    isWatched: stderr.isTerminal && env.TERM !== "dumb",
  };
}

function parseColumns(text: string | undefined): number | null {
  const columns = Number(text);
  return /^[0-9]+$/.test(text ?? "") && columns >= LEAST_COLUMNS && columns <= MOST_COLUMNS ? columns : null;
}
