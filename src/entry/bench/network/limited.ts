import type { Family } from "../../../net/address.ts";
import type { LimitKeys } from "../cni/plugins.ts";

/** Bits: what containerd and CRI-O send as every burst, since a pod's annotations have no word for one. */
const NO_BURST = 0xffffffff;
/** Seconds of the rate, where a burst is chosen. */
const CHOSEN_S = 0.1;

/** How a stream through a limit is measured. */
export interface StreamWish {
  /** Whole ones. */
  readonly seconds: number;
  /** Seconds at its beginning in which a burst passes and TCP finds its pace. */
  readonly settleS: number;
  /** Bytes that its sender hands over at once; null: as iperf3 does. */
  readonly piece: number | null;
}

/** A limit whose keeping is measured. */
export interface LimitCase {
  readonly scenario: string;
  /** So slow that a machine has nothing to do for it: several of these are measured at the same time. */
  readonly isSlow: boolean;
  readonly stream: StreamWish;
  readonly family: Family;
  /** Mbit/s. */
  readonly rate: number;
  readonly keys: LimitKeys;
}

/** Who keeps a limit exactly: the column that others are measured by. */
export const LIMIT = "limit";
/** Two pods while nobody on their node has a limit. */
export const NOBODY = "nobody is limited";

export const LIMIT_METRICS = {
  ingress: "ingress",
  egress: "egress",
  ingressWhole: "ingress, from the first byte on",
  egressWhole: "egress, from the first byte on",
} as const;
export const PAIR_METRIC = "between two unlimited pods";
/** Mbit/s, of the pods that the unlimited ones have beside them. */
export const BESIDE = 100;
export const BESIDE_SCENARIO = `beside pods with a limit of ${formatRate(BESIDE)}`;

/** From 1 Mbit/s to 1 Gbit/s without a burst, as runtimes ask for it; one with a burst, and one by IPv6. */
export function limitCases(isQuick: boolean, families: readonly Family[]): LimitCase[] {
  if (isQuick) return [describeCase(10)];
  return [
    ...[1, 10, 100, 1_000].map((rate) => describeCase(rate)),
    describeCase(10, { burst: CHOSEN_S }),
    ...(families.includes(6) ? [describeCase(100, { family: 6 })] : []),
  ];
}

function describeCase(
  rate: number,
  { family = 4, burst = null }: { readonly family?: Family; readonly burst?: number | null } = {},
): LimitCase {
  const suffix = `${burst === null ? "" : `, burst of ${burst} s`}${family === 6 ? ", IPv6" : ""}`;
  return {
    scenario: `limit of ${formatRate(rate)}${suffix}`,
    isSlow: rate < BESIDE,
    stream: streamAt(rate),
    family,
    rate,
    keys: limitKeys(rate, burst),
  };
}

/**
 * A receiver counts whole pieces, of which a slow stream has few; a fast one would be about the calls for small ones. At
 * 1 Mbit/s a loss is a good part of a second.
 */
export function streamAt(rate: number): StreamWish {
  const time = rate < 10 ? { seconds: 5, settleS: 1 } : { seconds: 2, settleS: 0.5 };
  return { ...time, piece: rate < BESIDE ? 4_096 : null };
}

/** The keys for a limit in both directions; `burst`: in seconds of the rate, null: none is chosen. */
export function limitKeys(rate: number, burst: number | null): LimitKeys {
  const bits = rate * 1e6;
  const bucket = burst === null ? NO_BURST : bits * burst;
  return { ingressRate: bits, ingressBurst: bucket, egressRate: bits, egressBurst: bucket };
}

function formatRate(rate: number): string {
  return rate >= 1_000 ? `${rate / 1_000} Gbit/s` : `${rate} Mbit/s`;
}
