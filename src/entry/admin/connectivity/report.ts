import type { Finding } from "./causes.ts";
import type { Probe } from "./judge.ts";

/** What a run of `minicni connectivity` found; as its `--json` has it. */
export interface ConnectivityReport {
  readonly minicni: string;
  /** Name of this Node; null: not known. */
  readonly node: string | null;
  /** Where the Nodes are from; null: nowhere. */
  readonly source: string | null;
  readonly peers: { readonly known: number; readonly probed: readonly string[] };
  /** Bytes that a pod's link promises. */
  readonly mtu: number;
  /** The throwaway pod; null: none could be made, and `podFault` says why. */
  readonly pod: { readonly containerId: string; readonly addresses: readonly string[] } | null;
  readonly podFault: string | null;
  /** Why pods of peers are not known; null: their agents were asked. */
  readonly notAsked: string | null;
  /** What could not be looked at otherwise. */
  readonly notes: readonly string[];
  readonly probes: readonly Probe[];
  readonly findings: readonly Finding[];
}

/** Whether all is well. */
export function isWell({ findings, podFault }: Pick<ConnectivityReport, "findings" | "podFault">): boolean {
  return findings.length === 0 && podFault === null;
}
