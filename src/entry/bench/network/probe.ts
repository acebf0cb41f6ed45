import * as v from "valibot";
import { HostError } from "../../../host/errors.ts";
import { parseJson } from "../../../host/json.ts";
import { benchProcessor, stayOn } from "../../../host/processors.ts";
import { answerRoundTrips, measureRoundTrips } from "../../../host/round-trips.ts";
import { parseAddress } from "../../../net/address.ts";
import { batch, type Reading } from "../turns.ts";

/** What a probe measures: the round trip of a datagram, or a new connection until its first byte comes back. */
export const PROBES = ["udp", "tcp"] as const;
export type ProbeKind = (typeof PROBES)[number];

/** The command line of one end of a probe. */
export interface ProbeOptions {
  readonly role: "server" | "client";
  /** Server: an address of its own; client: that of the server. */
  readonly address: string;
  readonly port: number;
  readonly what: ProbeKind;
  /** Client: how long is measured. Server: when it ends at the latest. */
  readonly milliseconds: number;
}

const FoundSchema = v.object({
  count: v.pipe(v.number(), v.minValue(1)),
  median: v.number(),
  p95: v.number(),
});

/**
 * One end of a probe, in the namespace we are in; holds this thread to its end, and keeps it on one processor. The client's text is one JSON document:
 * `{"count", "median", "p95"}`, the times in microseconds; the server's `{"answered"}`. Throws HostError when the port is
 * taken, or nobody answers within 3 s.
 */
export async function runProbe({ role, address: text, ...rest }: ProbeOptions): Promise<string> {
  const address = parseAddress(text);
  if (address === null) throw new HostError(`"${text}" is no address`, "use one like 10.244.1.2");
  const request = { ...rest, address };
  stayOn(benchProcessor());
  if (role === "server") return `${JSON.stringify({ answered: answerRoundTrips(request) })}\n`;
  const times = measureRoundTrips(request);
  return `${JSON.stringify({ count: times.length, ...batch(times) })}\n`;
}

/** The command line that runs one end; `argv`: that of the program up to `probe`. */
export function probeArgv(argv: readonly string[], options: ProbeOptions): string[] {
  const { role, address, port, what, milliseconds } = options;
  return [
    ...argv,
    ...["--role", role],
    ...["--address", address],
    ...["--port", String(port)],
    ...["--what", what],
    ...["--milliseconds", String(milliseconds)],
  ];
}

/** What a client found, from its text: microseconds. Throws HostError when it is none. */
export function parseProbe(text: string): Reading {
  const parsed = v.safeParse(FoundSchema, parseJson(text));
  if (parsed.success) return { median: parsed.output.median, p95: parsed.output.p95 };
  throw new HostError(`the probe found nothing: ${text.trim()}`, "this is a fault of minicni");
}
