import type { Counter, Gauge, Registry } from "prom-client";
import { COMMANDS } from "../../cni/request.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import type { IptablesVariant } from "../../plan/step.ts";
import { OUTCOMES, type Outcome } from "./calls.ts";
import { READINESS } from "./health.ts";
import { registerProcess } from "./process-metrics.ts";

/** What a repair put back. */
export const REPAIRED = [
  "route",
  "link",
  "address",
  "fdb",
  "neighbour",
  "rule",
  "sysctl",
  "conflist",
  "node_json",
  "bridge",
  "attachment",
] as const;
export type Repaired = (typeof REPAIRED)[number];

/** Why something had to be changed: at start, because Nodes changed, or because somebody changed the kernel. */
export const CAUSES = ["start", "nodes", "kernel"] as const;
export type Cause = (typeof CAUSES)[number];

export const PARTS = ["observe", "diff", "execute", "rules", "total"] as const;
export type Part = (typeof PARTS)[number];

export const API_EVENTS = [
  "list",
  "relist",
  "watch",
  "event",
  "irrelevant",
  "bookmark",
  "malformed",
  "error",
] as const;
export type ApiEvent = (typeof API_EVENTS)[number];

export const VARIANTS = ["nft", "legacy"] as const satisfies readonly IptablesVariant[];

/** Addresses of one range, or of a part of it. */
export interface AddressUse {
  readonly network: string;
  readonly range: string;
  readonly used: number;
  /** Beyond 2^53 (IPv6) as near as a double comes. */
  readonly free: number;
}

/** Typed setters in front of the registry; counts are absolute, but for those named as events. */
export interface Metrics {
  /** `faulty`: Nodes left out, by reason: a short fixed word each, never a message (each becomes a series). */
  nodes(known: number, faulty: Readonly<Record<string, number>>): void;
  peers(count: { readonly direct: number; readonly tunnel: number; readonly none: number }): void;
  routes(family: Family, desired: number, programmed: number): void;
  /** Foreign routes in the place of ours. */
  conflicts(count: number): void;
  /** Foreign nftables tables that drop what pods send each other. */
  forwardBlocks(count: number): void;
  /** A pass came to its end with everything in place: now. */
  synced(): void;
  duration(part: Part, seconds: number): void;
  /** `change`: what was done, in words; for the report, no label. */
  repair(what: Repaired, cause: Cause, change: string, count?: number): void;
  /** A step of a plan was refused; `op` as in plan/step.ts. */
  stepFailed(op: string): void;
  /** Null: no rules are kept for this family. */
  rulesVariant(family: Family, variant: IptablesVariant | null): void;
  apiEvent(kind: ApiEvent): void;
  /** A watch was opened now, or there is none any more. */
  watch(isOpen: boolean): void;
  /** All ranges there are: others are forgotten. */
  addresses(use: readonly AddressUse[]): void;
  leaksRemoved(count: number): void;
  /** A CNI call that a launcher handed over came to its end; `seconds`: from its request on. */
  call(command: string, outcome: Outcome, seconds: number): void;
  /** Null: not known, or no such device. */
  offload(device: string, isOn: boolean | null): void;
  ready(condition: string, holds: boolean): void;
  /** A page in Prometheus' text format, and its content type. */
  text(): Promise<{ readonly type: string; readonly body: string }>;
  /** For tests of what is documented. */
  readonly registry: Registry;
}

/** Of no-op passes (1 ms) as of the first one in a large cluster. */
const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export interface MetricsOptions {
  readonly version: string;
  /** Monotonic clock in milliseconds. */
  readonly now: () => number;
  /** How many files this process has open. */
  readonly openFiles: () => number;
}

/** Loads prom-client, which nothing but the agent needs (10 ms and 14 MB when compiled). */
export async function createMetrics(options: MetricsOptions): Promise<Metrics> {
  const prom = await import("prom-client");
  const registry = new prom.Registry();
  const registers = [registry];
  const gauge = <T extends string>(name: string, help: string, labelNames: T[] = []): Gauge<T> =>
    new prom.Gauge({ name: `minicni_agent_${name}`, help, labelNames, registers });
  const counter = <T extends string>(name: string, help: string, labelNames: T[] = []): Counter<T> =>
    new prom.Counter({ name: `minicni_agent_${name}`, help, labelNames, registers });

  const nodesKnown = gauge("nodes", "Nodes the network is built from, our own included.");
  const nodesFaulty = gauge("nodes_faulty", "Nodes left out, by what is wrong with them.", ["reason"]);
  const peers = gauge("peers", "Peers by the way their pods are reached.", ["path"]);
  const desired = gauge("routes_desired", "Routes to peers that should be there.", ["family"]);
  const programmed = gauge("routes_programmed", "Routes to peers that are there.", ["family"]);
  const conflicts = gauge("route_conflicts", "Foreign routes in the place of ours.");
  const blocks = gauge("forward_blocks", "Foreign nftables tables that drop what pods send each other.");
  const lastSync = gauge("last_sync_timestamp_seconds", "When the last pass left everything in place.");
  const durations = new prom.Histogram({
    name: "minicni_agent_resync_duration_seconds",
    help: "Duration of a pass and of its parts.",
    labelNames: ["part"],
    buckets: DURATION_BUCKETS_S,
    registers,
  });
  const repairs = counter("repairs_total", "Objects put right, by kind and cause.", ["object", "cause"]);
  const failures = counter("step_failures_total", "Steps the machine refused, by operation.", ["op"]);
  const variants = gauge("rules_variant", "Which iptables the rules are kept in.", ["family", "variant"]);
  const apiEvents = counter("api_events_total", "What the Node source brought, by kind.", ["kind"]);
  const watchAge = gauge("api_watch_age_seconds", "Age of the open watch; 0 without one.");
  const used = gauge("addresses_used", "Addresses held by attachments.", ["network", "range"]);
  const free = gauge("addresses_free", "Addresses that can be given out.", ["network", "range"]);
  const leaks = counter("leaked_attachments_removed_total", "Attachments removed since their pod was gone.");
  const calls = counter("calls_total", "CNI calls of launchers, by what became of them.", [
    "command",
    "outcome",
  ]);
  const callDurations = new prom.Histogram({
    name: "minicni_agent_call_duration_seconds",
    help: "Duration of CNI calls that were served.",
    labelNames: ["command"],
    buckets: DURATION_BUCKETS_S,
    registers,
  });
  const offload = gauge("tunnel_checksum_offload", "Whether a tunnel leaves checksums to hardware.", [
    "device",
  ]);
  const ready = gauge("ready", "Whether a readiness condition holds.", ["condition"]);
  const build = gauge("build_info", "Always 1.", ["version", "bun"]);
  registerProcess(prom, registry, options.openFiles);

  build.set({ version: options.version, bun: Bun.version }, 1);
  // Series that are there from the start can be alerted on; one that appears with its first event can not.
  for (const path of ["direct", "tunnel", "none"]) peers.set({ path }, 0);
  for (const part of PARTS) durations.zero({ part });
  for (const object of REPAIRED) for (const cause of CAUSES) repairs.inc({ object, cause }, 0);
  for (const kind of API_EVENTS) apiEvents.inc({ kind }, 0);
  for (const command of ["ADD", "DEL"]) {
    for (const outcome of OUTCOMES) calls.inc({ command, outcome }, 0);
    callDurations.zero({ command });
  }
  for (const condition of READINESS) ready.set({ condition }, 0);
  for (const family of FAMILIES) {
    desired.set({ family: String(family) }, 0);
    programmed.set({ family: String(family) }, 0);
    for (const variant of VARIANTS) variants.set({ family: String(family), variant }, 0);
  }
  let watchSinceMs: number | null = null;

  return {
    nodes: (known, faulty) => {
      nodesKnown.set(known);
      nodesFaulty.reset();
      for (const [reason, count] of Object.entries(faulty)) nodesFaulty.set({ reason }, count);
    },
    peers: (count) => {
      for (const path of ["direct", "tunnel", "none"] as const) peers.set({ path }, count[path]);
    },
    routes: (family, wanted, there) => {
      desired.set({ family: String(family) }, wanted);
      programmed.set({ family: String(family) }, there);
    },
    conflicts: (count) => conflicts.set(count),
    forwardBlocks: (count) => blocks.set(count),
    synced: () => lastSync.setToCurrentTime(),
    duration: (part, seconds) => durations.observe({ part }, seconds),
    repair: (object, cause, _change, count = 1) => repairs.inc({ object, cause }, count),
    stepFailed: (op) => failures.inc({ op }),
    rulesVariant: (family, chosen) => {
      for (const variant of VARIANTS) {
        variants.set({ family: String(family), variant }, variant === chosen ? 1 : 0);
      }
    },
    apiEvent: (kind) => apiEvents.inc({ kind }),
    watch: (isOpen) => {
      watchSinceMs = isOpen ? options.now() : null;
    },
    addresses: (use) => {
      used.reset();
      free.reset();
      for (const { network, range, ...counts } of use) {
        used.set({ network, range }, counts.used);
        free.set({ network, range }, counts.free);
      }
    },
    leaksRemoved: (count) => leaks.inc(count),
    call: (given, outcome, seconds) => {
      // What somebody writes into a variable must not become a series.
      const command = COMMANDS.find((known) => known === given) ?? "other";
      calls.inc({ command, outcome });
      if (outcome === "ok" || outcome === "error") callDurations.observe({ command }, seconds);
    },
    offload: (device, isOn) => {
      if (isOn === null) offload.remove({ device });
      else offload.set({ device }, isOn ? 1 : 0);
    },
    ready: (condition, holds) => ready.set({ condition }, holds ? 1 : 0),
    text: async () => {
      watchAge.set(watchSinceMs === null ? 0 : (options.now() - watchSinceMs) / 1000);
      return { type: registry.contentType, body: await registry.metrics() };
    },
    registry,
  };
}
