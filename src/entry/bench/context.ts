import type { Host } from "../../host/machine.ts";
import type { Measure } from "./measure.ts";
import type { Peers } from "./peers.ts";

/** How much is repeated. Times in milliseconds. */
export interface Effort {
  /** Shows that it works and about how fast; its figures are marked. */
  readonly isQuick: boolean;
  /** Turns of each contestant in a scenario, at least and at most. */
  readonly least: number;
  readonly most: number;
  /** No turn of a scenario begins after this time, once the least is done. */
  readonly scenarioMs: number;
  /** How long one turn of a micro-benchmark runs. */
  readonly turnMs: number;
}

export const FULL: Effort = { isQuick: false, least: 10, most: 60, scenarioMs: 30_000, turnMs: 30 };
export const QUICK: Effort = { isQuick: true, least: 3, most: 3, scenarioMs: 1_000, turnMs: 4 };

/** What a suite gets: the machine, how much to do, and where to leave what it finds. */
export interface Context {
  /** Its calls end with an OverdueError, and its children with SIGKILL, once the run is interrupted. */
  readonly host: Host;
  /** The same machine for removing what was made: it goes on after an interruption. */
  readonly cleaner: Host;
  /** The command line that runs this program. */
  readonly self: readonly string[];
  readonly effort: Effort;
  /** Scenarios whose names hold this text are measured, and no others; absent: all. */
  readonly only?: string | undefined;
  /** The reference plugins of this machine; none: we stand alone. */
  readonly peers: readonly Peers[];
  /** What is done now, for a person who waits. */
  readonly tell: (text: string) => void;
  /** Takes what a scenario found; from then on it is kept, whatever happens. */
  readonly keep: (measures: readonly Measure[]) => void;
  /** Why something was left out, or what else has to be known about the figures. */
  readonly note: (text: string) => void;
  /** Whether somebody ended the run: no further turn. */
  readonly isStopped: () => boolean;
}

/** One part of the benchmarks. Throws HostError; what it made is removed whatever happens. */
export type Suite = (context: Context) => Promise<void>;

/** Whether a scenario is to be measured. */
export function isWanted({ only = "" }: Pick<Context, "only">, scenario: string): boolean {
  return scenario.includes(only);
}
