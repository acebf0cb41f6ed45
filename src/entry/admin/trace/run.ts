import type { Answer } from "../../cni.ts";
import { PROBE_VERBS, type ProbePod } from "../probe-pod.ts";
import { createRecorder } from "./recorder.ts";
import { describeVerb, type TracedVerb, type TraceReport } from "./report.ts";

/** CHECK is younger than the rest (SPEC 0.4.0). */
const WITHOUT_CHECK = ["0.1.0", "0.2.0", "0.3.0", "0.3.1"];

/** The verbs that a version of the protocol has. */
export function verbsOf(cniVersion: string): (typeof PROBE_VERBS)[number][] {
  return PROBE_VERBS.filter((verb) => verb !== "CHECK" || !WITHOUT_CHECK.includes(cniVersion));
}

/**
 * ADD, CHECK and DEL of one pod, so many times, each with what it asked of the machine. Ends with the first run in which a
 * verb fails; without its ADD there is nothing to check.
 */
export async function traceRuns(
  pod: ProbePod,
  {
    count,
    isEach,
    cniVersion,
  }: { readonly count: number; readonly isEach: boolean; readonly cniVersion: string },
  tell: (what: string) => void,
): Promise<TraceReport["runs"]> {
  const runs: TracedVerb[][] = [];
  while (runs.length < count) {
    tell(`run ${runs.length + 1} of ${count}`);
    const run: TracedVerb[] = [];
    for (const verb of verbsOf(cniVersion)) {
      const recorder = createRecorder(isEach);
      const answer = await pod.call(verb, recorder.wrap);
      run.push(describeVerb(verb, recorder.finish(), faultOf(answer)));
      if (verb === "ADD" && answer.exitCode !== 0) break;
    }
    runs.push(run);
    if (run.some(({ fault }) => fault !== null)) break;
  }
  return runs;
}

/** The message of an error document with its details; null: it went well. */
export function faultOf({ exitCode, stdout }: Pick<Answer, "exitCode" | "stdout">): string | null {
  if (exitCode === 0) return null;
  try {
    const value: unknown = JSON.parse(stdout);
    const { code, msg, details } = Object(value);
    return `code ${code}: ${[msg, details].filter((text) => typeof text === "string" && text !== "").join("; ")}`;
  } catch {
    return stdout.trim() === "" ? `exit ${exitCode} and no answer` : stdout.trim();
  }
}
