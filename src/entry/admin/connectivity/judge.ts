import { type Family, formatAddress } from "../../../net/address.ts";
import type { Asked } from "./ask.ts";
import type { Source, TargetKind, Way } from "./questions.ts";

/** What became of a probe. `cut`: small packets arrive, and full ones do not; `absent`: the address is not there yet. */
export type ProbeStatus = "ok" | "lost" | "cut" | "absent";

/** One probe with its answer, as `--json` has it. */
export interface Probe {
  readonly from: Source;
  readonly to: TargetKind;
  readonly peer: string | null;
  readonly address: string;
  readonly family: Family;
  readonly status: ProbeStatus;
  /** Milliseconds of the small packet. */
  readonly rttMs: number | null;
  readonly small: Asked["small"]["kind"];
  readonly fullBytes: number;
  /** Null: not tried. */
  readonly full: Asked["small"]["kind"] | null;
  /** What fits as a router or our own link says, in bytes. */
  readonly fits: number | null;
  readonly way: Way["kind"] | null;
  /** `ip route get` of a probe that was lost. */
  readonly route: string | null;
}

/** A probe from its answer. `routes`: `ip route get` by address. */
export function describeProbe({ question, small, full }: Asked, routes: ReadonlyMap<string, string>): Probe {
  const { from, kind, peer, address, fullBytes, way } = question;
  const text = formatAddress(address);
  const isWhole = full?.kind === "answered";
  const status = small.kind !== "answered" ? "lost" : isWhole ? "ok" : "cut";
  return {
    from,
    to: kind,
    peer,
    address: text,
    family: address.family,
    status,
    rttMs: small.kind === "answered" ? small.rttMs : null,
    small: small.kind,
    fullBytes,
    full: full?.kind ?? null,
    fits: full?.kind === "too big" ? full.mtu : null,
    way: way?.kind ?? null,
    route: status === "ok" ? null : (routes.get(text) ?? null),
  };
}

/**
 * A gateway address that does not answer where the rest of its node does is not there: the bridge comes with a node's first
 * pod. Without such a proof it is lost.
 */
export function withAbsent(probes: readonly Probe[]): Probe[] {
  const isProven = ({ peer, family }: Probe) =>
    probes.some(
      (one) => one.peer === peer && one.family === family && one.to === "tunnel" && one.status === "ok",
    );
  const hasPods = ({ peer }: Probe) => probes.some((one) => one.peer === peer && one.to === "pod");
  return probes.map((probe) => {
    const isGateway = probe.to === "gateway" && probe.status === "lost";
    return isGateway && isProven(probe) && !hasPods(probe) ? { ...probe, status: "absent" } : probe;
  });
}

/** What is asked, for a table. */
export function describeTarget({ peer, to }: Pick<Probe, "peer" | "to">): string {
  const name = peer ?? "";
  switch (to) {
    case "node":
      return name;
    case "tunnel":
      return `${name} tunnel`;
    case "gateway":
      return `${name} gateway`;
    case "pod":
      return `${name} pod`;
    case "own":
      return "this node";
    case "given":
      return "--to";
  }
}
