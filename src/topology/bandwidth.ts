import type { BandwidthWish, RateWish } from "../cni/bandwidth.ts";
import type { AttachmentKey } from "../ipam/reservation.ts";
import { ifbName } from "../net/ifname.ts";
import { macOfName } from "../net/mac.ts";
import { hasBucket } from "../plan/shaping.ts";
import type { ObservedLink, ObservedShaping } from "../plan/state.ts";
import { HOST, type LinkSettings, type Plan, type Step, type TokenBucket } from "../plan/step.ts";

/** A limit as the kernel keeps it: bytes per second, and bytes. */
export interface Limit {
  readonly rate: number;
  readonly burst: number;
}

/** The limits of an attachment, as seen from the pod; null: none. */
export interface Limits {
  /** What the pod receives. */
  readonly ingress: Limit | null;
  /** What the pod sends. */
  readonly egress: Limit | null;
}

/** No limit at all. */
export const UNLIMITED: Limits = { ingress: null, egress: null };

/**
 * The burst that nobody chose. 20 ms of the rate, so that a timer that is late by a few ticks loses nothing; of slower
 * pods a large send of TCP (64 KiB, GSO) where that takes at most 50 ms, and 32 KiB in any case. Measured by 5 s of TCP:
 * with 32 KiB IPv6 lost 9 % of 10 Mbit/s, with 64 KiB often a third of 1 Mbit/s (half a second of queue, then timeouts).
 */
const BURST = { seconds: 0.02, large: 64 * 1024, largeSeconds: 0.05, least: 32 * 1024 } as const;
/** Seconds that a packet may wait, as in the reference (latencyInMillis of plg:plugins/meta/bandwidth). */
const LATENCY_S = 0.025;
/** The kernel's `limit` and `burst` are 32 bits wide (struct tc_tbf_qopt). */
const UINT32 = 0xffffffff;
/** Bytes: of an Ethernet header, which a packet in the queue has beside its MTU. */
const HEADER = 14;

/**
 * A wish as it can be kept on links of this MTU (bytes). A bucket that is smaller than one full packet would let none
 * pass, ever (tbf_enqueue drops it); `onRaised` is told of one that was chosen so.
 */
export function describeLimits(
  { ingress, egress }: BandwidthWish,
  mtu: number,
  onRaised: (direction: keyof Limits, chosen: number, burst: number) => void,
): Limits {
  const describe = (wish: RateWish | null, direction: keyof Limits): Limit | null => {
    if (wish === null) return null;
    const packet = mtu + HEADER;
    const chosen = wish.burst ?? defaultBurst(wish.rate);
    if (wish.burst !== null && chosen < packet) onRaised(direction, chosen, packet);
    return { rate: wish.rate, burst: Math.min(Math.max(chosen, packet), UINT32) };
  };
  return { ingress: describe(ingress, "ingress"), egress: describe(egress, "egress") };
}

function defaultBurst(rate: number): number {
  const { seconds, large, largeSeconds, least } = BURST;
  return Math.ceil(Math.max(rate * seconds, Math.min(large, rate * largeSeconds), least));
}

/** What an attachment's limits are made on. */
export interface ShapedPort extends Limits {
  readonly key: AttachmentKey;
  readonly hostVeth: string;
  /** Bytes. */
  readonly mtu: number;
}

/** The link that the traffic of a limited sender takes; null: it needs none. */
export function ifbOf({ key, egress }: ShapedPort): string | null {
  return egress === null ? null : ifbName(key.network, key.containerId, key.ifname);
}

/**
 * Limits of a port that is not up yet, so that nothing passes before they hold. A queue can be had only for what a link
 * sends: what the pod receives is what the host's end sends; what it sends goes through an ifb. `settings` are those of
 * a link of the host without addresses, its alias included.
 */
export function shapingSteps(port: ShapedPort, settings: LinkSettings): Step[] {
  const { hostVeth, mtu, ingress, egress } = port;
  const ifb = ifbOf(port);
  const why = "what the pod receives is limited";
  const steps: Step[] = ingress === null ? [] : [bucketStep(hostVeth, ingress, why)];
  if (egress === null || ifb === null) return steps;
  const sent = "what the pod sends is limited, by way of an ifb";
  return [
    ...steps,
    {
      op: "link.add",
      netns: HOST,
      link: { kind: "ifb", name: ifb, mac: macOfName(ifb), mtu },
      why: sent,
      undo: { op: "link.del", name: ifb },
      isAtomic: true,
    },
    { op: "link.set", netns: HOST, name: ifb, set: settings, why: sent },
    // Before it is up: to replace the queue of a link that runs, the kernel waits for all who may be sending (dev_deactivate).
    bucketStep(ifb, egress, sent),
    { op: "link.set", netns: HOST, name: ifb, set: { up: true }, why: sent },
    { op: "qdisc.ingress", netns: HOST, dev: hostVeth, why: sent },
    { op: "filter.redirect", netns: HOST, dev: hostVeth, to: ifb, why: sent },
  ];
}

function bucketStep(dev: string, limit: Limit, why: string): Step {
  return { op: "qdisc.tbf", netns: HOST, dev, ...bucketOf(limit), why };
}

function bucketOf({ rate, burst }: Limit): Omit<TokenBucket, "dev"> {
  return { rate, burst, limit: Math.min(Math.floor(rate * LATENCY_S) + burst, UINT32) };
}

/** The plan that removes an attachment's ifb. */
export function planIfbRemoval(ifb: string): Plan {
  return [{ op: "link.del", netns: HOST, name: ifb, why: "the ifb of what the pod sent" }];
}

/** What is wrong with the queue of a link; null: it keeps this limit. */
export function limitFault({ name }: ObservedLink, shaping: ObservedShaping, limit: Limit): string | null {
  if (hasBucket(shaping, bucketOf(limit))) return null;
  const { bucket } = shaping;
  return `${name} has ${bucket === null ? "no limit" : formatLimit(bucket)}, wanted ${formatLimit(limit)}`;
}

function formatLimit({ rate, burst }: Limit): string {
  return `a limit of ${rate * 8} bit/s with a burst of ${burst * 8} bits`;
}
