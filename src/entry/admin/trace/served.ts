import { DEFAULT_STATE_DIR, OWN_TYPE } from "../../../cni/config.ts";
import type { Host } from "../../../host/machine.ts";
import { spawnMeasured } from "../../../host/spawn.ts";
import { callSocket } from "../../agent/calls.ts";
import type { ProbePod, ProbeVerb } from "../probe-pod.ts";
import type { ServedCalls } from "./report.ts";
import { faultOf, verbsOf } from "./run.ts";

/** A runtime waits longer; a call that takes this long is a fault. */
const CALL_TIMEOUT_MS = 100_000;

/** Where the launcher looks for an agent unless that is where it always is (installer/launcher). */
const SOCKET_VARIABLE = "MINICNI_SOCKET";

/** The program, and the socket of an agent that serves its calls. */
interface ServedPlace {
  readonly program: string;
  readonly socket: string;
}

/** A text: why no agent serves calls. */
export function findServed(
  binDir: string,
  host: Pick<Host, "observeFile" | "isFile">,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ServedPlace | string {
  const program = `${binDir}/${OWN_TYPE}`;
  const socket = env[SOCKET_VARIABLE] || callSocket(DEFAULT_STATE_DIR);
  if (host.observeFile(socket) === null) return `there is no ${socket}: no agent serves calls on this node`;
  if (!host.isFile(program)) return `there is no ${program}: put it there by minicni install`;
  return { program, socket };
}

/** Runs the program as a runtime does, so many times, and times it from its start to its end. */
export async function timeServed(
  pod: ProbePod,
  place: ServedPlace,
  { count, cniVersion }: { readonly count: number; readonly cniVersion: string },
  host: Host,
): Promise<ServedCalls> {
  const verbs = verbsOf(cniVersion).map((verb) => ({
    verb,
    wallMs: [] as number[],
    fault: null as string | null,
  }));
  for (let turn = 0; turn < count; turn++) {
    for (const entry of verbs) {
      const { wallMs, fault } = await callProgram(pod, place, entry.verb, host);
      entry.wallMs.push(wallMs);
      entry.fault = fault;
      if (fault !== null) return { ...place, verbs: verbs.filter(({ wallMs: some }) => some.length > 0) };
    }
  }
  return { ...place, verbs };
}

async function callProgram(pod: ProbePod, { program, socket }: ServedPlace, verb: ProbeVerb, host: Host) {
  const { env, stdin } = pod.request(verb);
  // A call that is cut off may have made all of it.
  if (verb === "ADD") pod.attached("");
  const request = {
    argv: [program],
    env: { ...env, [SOCKET_VARIABLE]: socket },
    stdin,
    timeoutMs: CALL_TIMEOUT_MS,
  };
  const { finished, usage } = await spawnMeasured(request, host.deadline);
  if (finished.exitCode === 0 && verb !== "CHECK") pod.attached(verb === "ADD" ? finished.stdout : null);
  return { wallMs: usage.wallMs, fault: faultOf(finished) };
}
