import { HostError, messageOf, OverdueError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import type { Context, Effort, Suite } from "./context.ts";
import { observeMachine, observeTicks, observeVersions, type Ticks } from "./machine.ts";
import type { Measure, SuiteName } from "./measure.ts";
import type { Peers } from "./peers.ts";
import type { Results } from "./results.ts";

/** What is to be run, and where results go meanwhile. */
export interface RunRequest {
  /** In this order. */
  readonly suites: ReadonlyMap<SuiteName, Suite>;
  readonly effort: Effort;
  /** See {@link Context}. */
  readonly only?: string | undefined;
  readonly self: readonly string[];
  /** Ends with an interrupt; see {@link Context}. */
  readonly host: Host;
  readonly cleaner: Host;
  /** Of the machine when the run begins; see `observeLoad`. */
  readonly load: number;
  readonly peers: readonly Peers[];
  readonly tell: (text: string) => void;
  /** Takes the results so far, after each scenario and at the end. */
  readonly save: (results: Results) => void;
  /** The signal that ended the run; null: none came. */
  readonly interruptedBy: () => string | null;
}

/** How a run went. `faults`: suites that failed, and why. */
export interface Outcome {
  readonly results: Results;
  readonly faults: readonly string[];
}

/** Part of all processor time that others on the same hardware may take before the figures are marked. */
const MUCH_STOLEN = 0.05;

/** Runs the suites one after the other; one that fails does not keep the others from running. */
export async function runSuites(request: RunRequest): Promise<Outcome> {
  const { suites, effort, only, self, host, cleaner, load, peers, tell, save, interruptedBy } = request;
  const machine = observeMachine(cleaner);
  const versions = await observeVersions(cleaner, peers);
  const began = new Date().toISOString();
  const ticks = observeTicks(cleaner);
  const notes: string[] = [];
  const measures: Measure[] = [];
  const faults: string[] = [];
  const marks = markLoad(load, machine.cpus, tell);
  const snapshot = (isComplete: boolean, more: readonly string[]): Results => ({
    format: 1,
    began,
    ended: new Date().toISOString(),
    machine,
    versions,
    suites: [...suites.keys()],
    isQuick: effort.isQuick,
    isComplete,
    marks: [...marks, ...more],
    notes: [...notes],
    measures: [...measures],
  });
  const unfinished = ["partial: the run was not finished"];
  const isStopped = () => interruptedBy() !== null;
  // First of all, before anything was measured that then can't be kept.
  save(snapshot(false, unfinished));
  for (const [name, suite] of suites) {
    if (isStopped()) break;
    const context: Context = {
      host,
      cleaner,
      self,
      effort,
      only,
      peers,
      tell: (text) => tell(`${name}: ${text}`),
      keep: (found) => {
        measures.push(...found);
        save(snapshot(false, unfinished));
      },
      note: (text) => {
        notes.push(text);
        tell(`note: ${text}`);
      },
      isStopped,
    };
    try {
      await suite(context);
    } catch (error) {
      if (error instanceof OverdueError && isStopped()) break;
      const hint = error instanceof HostError ? `; what to do: ${error.hint}` : "";
      faults.push(`${name}: ${messageOf(error)}${hint}`);
      notes.push(`${name}: not finished: ${messageOf(error)}`);
    }
  }
  const signal = interruptedBy();
  const isComplete = signal === null && faults.length === 0;
  const ends = [
    ...(signal === null ? [] : [`partial: interrupted by ${signal}`]),
    ...(faults.length === 0 ? [] : ["partial: a suite failed, see the notes"]),
    ...markStolen(ticks, observeTicks(cleaner)),
    ...(only === undefined ? [] : [`partial: only scenarios with "${only}"`]),
    ...(effort.isQuick ? ["quick: shows that it works, not how fast it is"] : []),
  ];
  const results = snapshot(isComplete, ends);
  save(results);
  return { results, faults };
}

/** A busy machine measures its other work. Only at the start: later the load is our own. */
function markLoad(load: number, cpus: number, tell: (text: string) => void): string[] {
  if (load <= cpus) return [];
  const mark = `busy: a load of ${load.toFixed(1)} on ${cpus} CPUs when the run began`;
  tell(`warning: ${mark}; better wait until the machine is quiet`);
  return [mark];
}

function markStolen(before: Ticks, after: Ticks): string[] {
  const part = (after.stolen - before.stolen) / Math.max(1, after.all - before.all);
  if (part <= MUCH_STOLEN) return [];
  return [`busy: the hypervisor gave ${(part * 100).toFixed(0)} % of the processor time to others`];
}
