import * as v from "valibot";
import { HostError } from "../../../host/errors.ts";
import { parseJson } from "../../../host/json.ts";
import type { Family } from "../../../net/address.ts";

/** One TCP stream, measured once; `seconds`: how long, whole ones. */
export interface IperfRequest {
  readonly address: string;
  readonly family: Family;
  readonly port: number;
  readonly seconds: number;
  /** Number of the processor that both ends stay on; null: wherever the scheduler puts them. */
  readonly processor: number | null;
  /** Congestion control of the stream, as tcp(7) names it; null: the machine's own. */
  readonly congestion: string | null;
}

/** Beyond its time each end is killed after so many seconds, also when we were killed ourselves. */
const SPARE_S = 8;
/** The same on a path with a limit, where what ends a stream may wait in a queue for long. */
const QUEUED_SPARE_S = 1;
/** For the control connection, in milliseconds. */
const CONNECT_MS = 1_000;
/** Seconds of a stream that a receiver counts together. */
const INTERVAL_S = 0.5;

const ReportSchema = v.object({
  end: v.object({ sum_received: v.object({ bits_per_second: v.pipe(v.number(), v.gtValue(0)) }) }),
});
const ReceivedSchema = v.object({
  intervals: v.pipe(
    v.array(v.object({ sum: v.object({ start: v.number(), seconds: v.number(), bytes: v.number() }) })),
    v.minLength(1),
  ),
});
const ErrorSchema = v.object({ error: v.string() });

/** Takes one client, and ends with it. */
export function iperfServerArgv(request: IperfRequest): string[] {
  return [...killed(request), ...serverArgv(request)];
}

/**
 * The same on a path with a limit: what the server received is told as JSON, interval by interval, also of a stream that
 * has no end since it is stuck in a queue.
 */
export function iperfReceiverArgv(request: IperfRequest): string[] {
  return [...ended(request), ...serverArgv(request), "--json", "--interval", String(INTERVAL_S)];
}

function serverArgv({ address, family, port }: IperfRequest): string[] {
  return ["iperf3", "--server", "--one-off", `-${family}`, "--bind", address, "--port", String(port)];
}

/** Sends for `seconds`, and reports as JSON. */
export function iperfClientArgv(request: IperfRequest): string[] {
  return [...killed(request), ...clientArgv(request)];
}

/** The same to a receiver; `piece`: bytes that are handed over at once, null: as many as iperf3 likes. */
export function iperfSenderArgv(request: IperfRequest, piece: number | null): string[] {
  const length = piece === null ? [] : ["--length", String(piece)];
  return [...ended(request), ...clientArgv(request), ...length];
}

function clientArgv(request: IperfRequest): string[] {
  const { address, family, port, seconds, processor, congestion } = request;
  return [
    ...["iperf3", "--client", address, `-${family}`, "--port", String(port), "--time", String(seconds)],
    ...["--json", "--connect-timeout", String(CONNECT_MS)],
    // Of both ends: where the scheduler puts them would be the larger part of what is measured.
    ...(processor === null ? [] : ["--affinity", `${processor},${processor}`]),
    ...(congestion === null ? [] : ["--congestion", congestion]),
  ];
}

/** timeout(1) of coreutils: iperf3's own option for it (`--idle-timeout`) is not in every version that is in use. */
function killed({ seconds }: IperfRequest): string[] {
  return ["timeout", "-s", "KILL", String(seconds + SPARE_S)];
}

/** By SIGTERM iperf3 ends with a report. */
function ended({ seconds }: IperfRequest): string[] {
  return ["timeout", "-s", "TERM", "-k", String(SPARE_S), String(seconds + QUEUED_SPARE_S)];
}

/** What a receiver got, in Mbit/s. */
export interface Received {
  /** From the first byte to the end of the stream's time. */
  readonly whole: number;
  /** Without its beginning, in which a burst passes. */
  readonly steady: number;
}

/**
 * Of a receiver's JSON; `seconds`: what was asked for, later intervals do not count; `settleS`: the beginning that is not
 * steady. Null: it tells of no such times.
 */
export function parseReceived(text: string, seconds: number, settleS: number): Received | null {
  // A warning of iperf3 may stand in front, about a stream without an end for example.
  const parsed = v.safeParse(ReceivedSchema, parseJson(text.slice(Math.max(0, text.indexOf("{")))));
  if (!parsed.success) return null;
  const sums = parsed.output.intervals.map(({ sum }) => sum);
  const between = (from: number) => {
    // Half an interval of slack: iperf3's timers are late by some milliseconds.
    const isIn = (start: number) => start > from - INTERVAL_S / 2 && start < seconds - INTERVAL_S / 2;
    const chosen = sums.filter(({ start }) => isIn(start));
    const total = (key: "bytes" | "seconds") => chosen.reduce((sum, one) => sum + one[key], 0);
    return chosen.length === 0 ? null : (total("bytes") * 8) / total("seconds") / 1e6;
  };
  const [whole, steady] = [between(0), between(settleS)];
  return whole === null || steady === null ? null : { whole, steady };
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
