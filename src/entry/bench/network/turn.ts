import { HostError } from "../../../host/errors.ts";
import type { Finished, Host, SpawnRequest } from "../../../host/machine.ts";
import { benchProcessor } from "../../../host/processors.ts";
import type { Family } from "../../../net/address.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import { type Reading, single, type Turn } from "../turns.ts";
import { type IperfRequest, iperfClientArgv, iperfServerArgv, parseIperf } from "./iperf.ts";
import { PROBES, type ProbeKind, parseProbe, probeArgv } from "./probe.ts";

/** The way from one pod to another, in a network that stands. */
export interface NetworkPath {
  readonly from: NetnsPath;
  readonly to: NetnsPath;
  /** Of the pod in `to`. */
  readonly address: string;
  readonly family: Family;
}

/** What is measured in one turn, and with what. */
export interface TurnWish {
  /** Of one TCP stream; null: no iperf3, so that it is left out. */
  readonly throughputSeconds: number | null;
  /** Of each of the probes. */
  readonly probeMs: number;
  /** The command line that runs a probe, up to its options. */
  readonly probeArgv: readonly string[];
}

/** Any ports: the namespaces are ours. */
export const PORTS = { iperf: 5201, udp: 17161, tcp: 17162 } as const;
/** For the start and the end of a child, beyond what it measures, in milliseconds. */
const SPARE_MS = 10_000;
/** What a probe's server lives beyond the time that is measured: its client waits up to 3 s for it. */
const SERVER_SPARE_MS = 4_000;
/** For iperf3's server to listen, in milliseconds. */
export const LISTEN_MS = 3_000;
export const RETRY_MS = 20;

export const METRICS = { throughput: "TCP throughput", udp: "round trip", tcp: "TCP connect" } as const;

/** One turn of everything over one path. Throws HostError with the words of the child that failed. */
export async function measureTurn(path: NetworkPath, wish: TurnWish, host: Host): Promise<Turn> {
  const found: Record<string, Reading> = {};
  // The shorter ones first: what a stream leaves in the machine's queues would be in them.
  for (const what of PROBES) found[METRICS[what]] = await probe(path, what, wish, host);
  if (wish.throughputSeconds !== null) {
    found[METRICS.throughput] = single(await stream(path, wish.throughputSeconds, host));
  }
  return found;
}

async function probe(
  { from, to, address }: NetworkPath,
  what: ProbeKind,
  wish: TurnWish,
  host: Host,
): Promise<Reading> {
  const end = { address, port: PORTS[what], what };
  const server: SpawnRequest = {
    argv: probeArgv(wish.probeArgv, {
      role: "server",
      milliseconds: wish.probeMs + SERVER_SPARE_MS,
      ...end,
    }),
    netns: to,
    timeoutMs: wish.probeMs + SPARE_MS,
  };
  const argv = probeArgv(wish.probeArgv, { role: "client", milliseconds: wish.probeMs, ...end });
  return await withServer(server, host, async () => {
    const client = await host.spawn({ argv, netns: from, timeoutMs: wish.probeMs + SPARE_MS });
    if (client.exitCode !== 0) throw failed(`the probe (${what})`, client);
    return parseProbe(client.stdout);
  });
}

/** Throughput of one stream, in Mbit/s. Throws HostError with iperf3's words. */
export async function stream({ from, to, address, family }: NetworkPath, seconds: number, host: Host) {
  const request: IperfRequest = {
    ...{ address, family, port: PORTS.iperf, seconds },
    processor: benchProcessor(),
    congestion: congestionOf(host),
  };
  const timeoutMs = 1000 * seconds + SPARE_MS;
  return await withServer({ argv: iperfServerArgv(request), netns: to, timeoutMs }, host, async () => {
    const end = performance.now() + LISTEN_MS;
    for (;;) {
      await host.sleep(RETRY_MS);
      const client = await host.spawn({ argv: iperfClientArgv(request), netns: from, timeoutMs });
      // Its errors are in the JSON too; of a killed one there is none.
      if (client.stdout.trim() === "") throw failed("iperf3", client);
      const found = parseIperf(client.stdout);
      if (found !== null) return found;
      if (performance.now() > end) throw new HostError("iperf3's server does not listen", "run it by hand");
    }
  });
}

/** What the kernel can do, in a file of its own. */
const CONGESTION = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/**
 * CUBIC sends as fast as the path takes it. BBR, which is the default of some machines, sends as fast as it reckons: in
 * namespaces that is half as much, and tells of BBR. Null where the kernel has no CUBIC.
 */
export function congestionOf(host: Host): string | null {
  const known = (host.readFile(CONGESTION) ?? "").trim().split(/\s+/);
  return known.includes("cubic") ? "cubic" : null;
}

/** Servers end by themselves, with their client or after a time: it is waited for, so that a namespace can go. */
async function withServer<T>(request: SpawnRequest, host: Host, work: () => Promise<T>): Promise<T> {
  let refusal: HostError | null = null;
  const server = host.spawn(request).then(
    (ended) => {
      if (ended.exitCode !== 0) refusal = failed("the server", ended);
    },
    () => {
      // Interrupted, or not to be started: the client's own failure tells it.
    },
  );
  try {
    return await work();
  } catch (error) {
    await server;
    throw refusal ?? error;
  } finally {
    await server;
  }
}

function failed(what: string, { stdout, stderr, timedOut }: Finished): HostError {
  const words = stderr.trim() || stdout.trim() || "no message";
  return new HostError(`${what} failed${timedOut ? " (killed: too slow)" : ""}: ${words}`, "see dmesg");
}
