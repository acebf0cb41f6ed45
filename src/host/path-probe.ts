import type { Address } from "../net/address.ts";
import { askReach } from "./reach.ts";

/** Closed nearly everywhere: the first port of traceroute, and discard (RFC 863). */
export const CLOSED_PORTS = [33434, 9] as const;

/** One question to the kernel of another machine. */
export interface SizedRequest {
  readonly address: Address;
  /** Of the whole packet, from the IP header on; nobody on the way may cut it. */
  readonly packetBytes: number;
  /** Each of two tries waits this long for its answer. */
  readonly timeoutMs: number;
}

/**
 * `answered`: the packet arrived whole; `too big`: a router said that it does not fit, or it is larger than our own
 * link; `silent`: nothing came back; `unsent`: the kernel would not send it, or a router knows no way.
 */
export type SizedAnswer = "answered" | "too big" | "silent" | "unsent";

/**
 * Sends one datagram of exactly this size, with DF set, to a closed UDP port, up to twice, and waits for the refusal; see
 * {@link askReach}. Throws HostError without a C library.
 */
export async function askSized({ address, packetBytes, timeoutMs }: SizedRequest): Promise<SizedAnswer> {
  for (const port of CLOSED_PORTS) {
    const { kind } = await askReach({ address, port, packetBytes, timeoutMs });
    if (kind !== "silent") return kind === "unreachable" ? "unsent" : kind;
  }
  return "silent";
}
