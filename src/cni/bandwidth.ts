import { CNI_CODE, CniError } from "./errors.ts";
import type { RawNetConf } from "./schema.ts";

/** How fast one direction may go. */
export interface RateWish {
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes that may pass at any speed after a silence; null: the runtime could not say. */
  readonly burst: number | null;
}

/** The limits of a pod, as seen from it; null: none. */
export interface BandwidthWish {
  /** What the pod receives. */
  readonly ingress: RateWish | null;
  /** What the pod sends. */
  readonly egress: RateWish | null;
}

type Keys = NonNullable<NonNullable<RawNetConf["runtimeConfig"]>["bandwidth"]>;

/**
 * What containerd and CRI-O send as every burst (bits), since a pod's annotations have no word for one
 * (ctrd:internal/cri/server/sandbox_run.go). Taken at its word the first 512 MB would pass unlimited.
 */
const UNKNOWN_BURST = 0xffffffff;
/** Bits per second; kubelet takes `kubernetes.io/ingress-bandwidth` from 1k to 1P (pkg/util/bandwidth: utils.go). */
const MAX_RATE = 1e15;
/** Bits per second: a byte, the kernel's unit. */
const MIN_RATE = 8;
/** Bits: `burst/8 >= math.MaxUint32` of the reference. */
const MAX_BURST = 0xffffffff * 8;

/** Whether a configuration asks for any limit, right or wrong. */
export function asksForBandwidth(raw: RawNetConf): boolean {
  return chosenKeys(raw) !== null;
}

/**
 * The limits that a configuration asks for, in the words of the plugin bandwidth: bits per second and bits, those of the
 * file before those of the runtime. Throws code 7; DEL must not look at them (ctrd#9064).
 */
export function parseBandwidth(raw: RawNetConf): BandwidthWish {
  const chosen = chosenKeys(raw);
  if (chosen === null) return { ingress: null, egress: null };
  const { keys, where } = chosen;
  return {
    ingress: parseRate(keys.ingressRate ?? 0, keys.ingressBurst ?? 0, `${where}ingress`),
    egress: parseRate(keys.egressRate ?? 0, keys.egressBurst ?? 0, `${where}egress`),
  };
}

/**
 * What the file says for all pods, else the runtime's wish for this one; null: neither does. The reference's order: who
 * writes an annotation must not be able to lift the administrator's limit.
 */
function chosenKeys(raw: RawNetConf): { readonly keys: Keys; readonly where: string } | null {
  if (hasAny(raw)) return { keys: raw, where: "" };
  const own = raw.runtimeConfig?.bandwidth;
  return own && hasAny(own) ? { keys: own, where: "runtimeConfig.bandwidth." } : null;
}

function hasAny({ ingressRate, ingressBurst, egressRate, egressBurst }: Keys): boolean {
  return Boolean(ingressRate || ingressBurst || egressRate || egressBurst);
}

function parseRate(rate: number, burst: number, where: string): RateWish | null {
  const refuse = (message: string, wanted: string): never => {
    const actual = `${where}Rate=${rate}, ${where}Burst=${burst}`;
    throw new CniError(CNI_CODE.invalidConfig, message, `${actual}; wanted: ${wanted}`);
  };
  const [name = where] = where.split(".").slice(-1);
  for (const [key, value, unit] of [
    ["Rate", rate, "bits per second"],
    ["Burst", burst, "bits"],
  ] as const) {
    if (!Number.isInteger(value) || value < 0)
      refuse(`invalid ${name}${key}: ${value}`, `a whole number of ${unit}`);
  }
  if (rate === 0 && burst === 0) return null;
  if (burst === 0) refuse("if rate is set, burst must also be set", "both, or neither");
  if (rate === 0) refuse("if burst is set, rate must also be set", "both, or neither");
  if (burst >= MAX_BURST) refuse("burst cannot be more than 4GB", `less than ${MAX_BURST} bits`);
  if (rate < MIN_RATE) refuse(`${name}Rate is too low: ${rate}`, `at least ${MIN_RATE} bits per second`);
  if (rate > MAX_RATE) refuse(`${name}Rate is too high: ${rate}`, `at most ${MAX_RATE} bits per second`);
  return { rate: Math.floor(rate / 8), burst: burst === UNKNOWN_BURST ? null : Math.floor(burst / 8) };
}
