import * as v from "valibot";
import { HostError } from "../../../host/errors.ts";
import type { Family } from "../../../net/address.ts";

/** One TCP stream, measured once; `seconds`: how long, whole ones. */
export interface IperfRequest {
  readonly address: string;
  readonly family: Family;
  readonly port: number;
  readonly seconds: number;
  /** Number of the processor that both ends stay on. */
  readonly processor: number;
  /** Congestion control of the stream, as tcp(7) names it; null: the machine's own. */
  readonly congestion: string | null;
}

/** Beyond its time each end is killed after so many seconds, also when we were killed ourselves. */
const SPARE_S = 8;
/** For the control connection, in milliseconds. */
const CONNECT_MS = 1_000;

const ReportSchema = v.object({
  end: v.object({ sum_received: v.object({ bits_per_second: v.pipe(v.number(), v.gtValue(0)) }) }),
});
const ErrorSchema = v.object({ error: v.string() });

/** Takes one client, and ends with it. */
export function iperfServerArgv({ address, family, port, seconds }: IperfRequest): string[] {
  return [
    ...bounded(seconds),
    ...["iperf3", "--server", "--one-off", `-${family}`, "--bind", address, "--port", String(port)],
  ];
}

/** Sends for `seconds`, and reports as JSON. */
export function iperfClientArgv(request: IperfRequest): string[] {
  const { address, family, port, seconds, processor, congestion } = request;
  return [
    ...bounded(seconds),
    ...["iperf3", "--client", address, `-${family}`, "--port", String(port), "--time", String(seconds)],
    ...["--json", "--connect-timeout", String(CONNECT_MS)],
    // Of both ends: where the scheduler puts them would be the larger part of what is measured.
    ...["--affinity", `${processor},${processor}`],
    ...(congestion === null ? [] : ["--congestion", congestion]),
  ];
}

/** timeout(1) of coreutils: iperf3's own option for it (`--idle-timeout`) is not in every version that is in use. */
function bounded(seconds: number): string[] {
  return ["timeout", "-s", "KILL", String(seconds + SPARE_S)];
}

/**
 * Throughput at the receiver in Mbit/s, of a client's JSON (iperf3(1), `--json`); `null`: the server was not there yet.
 * Throws HostError with iperf3's own words when it failed, or when it is no report.
 */
export function parseIperf(text: string): number | null {
  const report: unknown = parseJson(text);
  const failure = v.safeParse(ErrorSchema, report);
  if (failure.success) {
    const { error } = failure.output;
    if (/unable to connect to server.*(Connection refused|timed out)/.test(error)) return null;
    throw new HostError(`iperf3 failed: ${error}`, "run it by hand in the two namespaces");
  }
  const parsed = v.safeParse(ReportSchema, report);
  if (parsed.success) return parsed.output.end.sum_received.bits_per_second / 1e6;
  const excerpt = text.trim().slice(0, 200);
  throw new HostError(`iperf3 told no throughput: ${excerpt}`, "see whether it is version 3.1 or later");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
