import type { ObservedShaping } from "./state.ts";
import type { TokenBucket } from "./step.ts";

/** The kernel tells a burst as a time: 32 bits of 64 ns each (PSCHED_SHIFT of include/net/pkt_sched.h). */
const TICK_NS = 64;
const TICKS = 2 ** 32;
/** The factor by which the kernel divides by the rate has 32 bits (psched_ratecfg_precompute of net/sched/sch_generic.c). */
const PRECISION = 2 ** -30;

/**
 * Whether what is shown of a link is this bucket. Rate and limit come back as they were set; of the burst the kernel shows
 * the time that the rate takes for it, cut to units of 64 ns and to 32 bits, so that what lasts longer than 274.9 s
 * begins at 0 again.
 */
export function hasBucket(
  { bucket }: ObservedShaping,
  { rate, burst, limit }: Omit<TokenBucket, "dev">,
): boolean {
  if (bucket === null || bucket.rate !== rate || bucket.limit !== limit) return false;
  const perTick = (rate * TICK_NS) / 1e9;
  const whole = TICKS * perTick;
  const apart = (((burst - bucket.burst) % whole) + whole) % whole;
  return Math.min(apart, whole - apart) <= 1 + 2 * perTick + burst * PRECISION;
}
