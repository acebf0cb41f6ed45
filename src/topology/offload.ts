import { type Address, formatAddress, isSameAddress } from "../net/address.ts";
import { hashHex } from "../net/hash.ts";
import { HOST, type Step } from "../plan/step.ts";

/**
 * Whether a tunnel device may leave the checksum of the inner packet to hardware. With some NICs, drivers and virtual
 * switches such packets arrive with a checksum that was never finished and are dropped: ping works, TCP and UDP do not
 * (flannel#1279, and on Linux 6.8 still: flannel#2152, so that the kernel's version says nothing).
 *
 * Two datagrams to a closed port of a peer tell. The small one leaves its checksum to the device; one larger than the
 * device's MTU is fragmented, and the kernel then has to finish the checksum itself (`__ip_append_data`: CHECKSUM_PARTIAL
 * only for what fits into one packet). A peer's kernel refuses either by ICMP once it found the checksum right
 * (`__udp4_lib_rcv` verifies first), and finishes the ICMP's own checksum in software. So the answer depends on our
 * side alone: it needs no agent on the peer, and it comes through whatever the peer's own NIC does.
 */
export type OffloadState =
  /** `rounds` without any answer; `suspects` answered the large datagram only, in the last round. */
  | { readonly verdict: "unknown"; readonly rounds: number; readonly suspects: readonly Address[] }
  | { readonly verdict: "works" }
  /** `witnesses`: the peers that answered the large datagram only, twice. */
  | { readonly verdict: "broken"; readonly witnesses: readonly Address[] };

/** What one peer answered in one round. */
export interface OffloadAnswer {
  readonly peer: Address;
  /** Whether it refused the datagram with the checksum left to the device. */
  readonly offloaded: boolean;
  /** Whether it refused the one with the checksum made by the kernel. */
  readonly software: boolean;
}

/** A device nothing is known of. */
export const UNTESTED: OffloadState = { verdict: "unknown", rounds: 0, suspects: [] };

/** More than one, since the path to a peer on the same hypervisor has no NIC in it. */
const PEERS_A_ROUND = 3;
/** A second look at a suspect: a single loss must not cost the offload. */
const CONFIRM_WAIT_MS = 2_000;
const FIRST_WAIT_MS = 30_000;
const LONGEST_WAIT_MS = 600_000;

/**
 * Whom to ask next: the suspects again, or up to three peers, others in each round. Where the list begins depends on
 * `self` (any of our own addresses), so that not every node asks the same three.
 */
export function choosePeers(state: OffloadState, self: Address, peers: readonly Address[]): Address[] {
  if (state.verdict !== "unknown") return [];
  const suspects = state.suspects.filter((suspect) => peers.some((peer) => isSameAddress(peer, suspect)));
  if (suspects.length > 0) return suspects;
  const start = Number.parseInt(hashHex(formatAddress(self)).slice(0, 8), 16) + state.rounds * PEERS_A_ROUND;
  return Array.from({ length: Math.min(PEERS_A_ROUND, peers.length) }, (_, index) => {
    return peers[(start + index) % peers.length];
  }).filter((peer) => peer !== undefined);
}

/** What follows from the answers of one round. A verdict other than "unknown" is final: for this device, that is. */
export function judgeAnswers(state: OffloadState, answers: readonly OffloadAnswer[]): OffloadState {
  if (state.verdict !== "unknown") return state;
  // One that is silent to both is down, or drops what comes to closed ports: it says nothing about us.
  const silent = answers.filter(({ offloaded, software }) => software && !offloaded).map(({ peer }) => peer);
  const witnesses = silent.filter((peer) => state.suspects.some((suspect) => isSameAddress(suspect, peer)));
  if (witnesses.length > 0) return { verdict: "broken", witnesses };
  if (silent.length > 0) return { ...state, suspects: silent };
  if (answers.some(({ offloaded }) => offloaded)) return { verdict: "works" };
  return { verdict: "unknown", rounds: state.rounds + 1, suspects: [] };
}

/** Milliseconds until the next round: soon for suspects, else 30 s, doubled up to 10 min; null: none is needed. */
export function roundWaitMs(state: OffloadState): number | null {
  if (state.verdict !== "unknown") return null;
  if (state.suspects.length > 0) return CONFIRM_WAIT_MS;
  if (state.rounds === 0) return 0;
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(state.rounds - 1, 10));
}

/** The cure: the kernel finishes the checksums of what leaves by this device. */
export function describeOffloadOff(name: string): Step {
  return {
    op: "link.offload",
    name,
    txChecksum: false,
    netns: HOST,
    why: `packets whose checksum is left to hardware do not arrive over ${name}`,
  };
}
