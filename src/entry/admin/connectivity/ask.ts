import type { Host } from "../../../host/machine.ts";
import { CLOSED_PORTS } from "../../../host/path-probe.ts";
import { askReach, type Reach } from "../../../host/reach.ts";
import { type Address, formatAddress } from "../../../net/address.ts";
import { HOST, type NetnsPath } from "../../../plan/step.ts";
import type { Question } from "./questions.ts";

/** What came of a question. */
export interface Asked {
  readonly question: Question;
  readonly small: Reach;
  /** Null: it was not tried, since the small one was not answered. */
  readonly full: Reach | null;
}

const SMALL_BYTES = 100;
/** Of each of two tries. */
const ANSWER_MS = 400;
/**
 * Machines say "port unreachable" to one address six times at once and then once a second (icmp_ratelimit of
 * ip-sysctl.rst, XRLIM_BURST_FACTOR of net/ipv4/inetpeer.c): what is silent is asked again after that.
 */
const RATE_LIMIT_MS = 1_050;
/** With what `ping` itself takes all of a probe stays below two seconds. */
const PING_SECONDS = "0.4";
const PING_TIMEOUT_MS = 1_000;
/** Bytes of IP and ICMP header (RFC 791, 8200, 792). */
const PING_HEADERS = { 4: 20 + 8, 6: 40 + 8 } as const;

/** A small packet, and where that is answered one of full size. `pod`: the namespace of the throwaway pod. */
export async function askQuestion(question: Question, pod: NetnsPath, host: Host): Promise<Asked> {
  const netns = question.from === "pod" ? pod : HOST;
  const small = await askTwice(question.address, SMALL_BYTES, netns, host);
  if (small.kind !== "answered") return { question, small, full: null };
  return { question, small, full: await askTwice(question.address, question.fullBytes, netns, host) };
}

/** By the refusal of a datagram, which needs nothing; where nobody refuses, as behind a firewall, by `ping` as well. */
async function askTwice(address: Address, packetBytes: number, netns: NetnsPath, host: Host): Promise<Reach> {
  const [first, second] = CLOSED_PORTS.map((port) => ({
    address,
    port,
    packetBytes,
    timeoutMs: ANSWER_MS,
    netns,
  }));
  if (first === undefined || second === undefined) return { kind: "silent" };
  host.deadline.check(`probing ${formatAddress(address)}`);
  const beganAt = performance.now();
  const once = await askReach(first);
  if (once.kind !== "silent") return once;
  const again = async () => {
    await Bun.sleep(Math.max(0, RATE_LIMIT_MS - (performance.now() - beganAt)));
    return askReach(second);
  };
  const [other, ping] = await Promise.all([again(), askByPing(address, packetBytes, netns, host)]);
  return other.kind === "silent" && ping !== null ? ping : other;
}

/** Null: no answer, or no `ping`. */
async function askByPing(
  address: Address,
  packetBytes: number,
  netns: NetnsPath,
  host: Host,
): Promise<Reach | null> {
  if (host.findProgram("ping") === null) return null;
  const size = String(packetBytes - PING_HEADERS[address.family]);
  const options = ["-n", "-c", "1", "-W", PING_SECONDS, "-M", "do", "-s", size];
  try {
    const argv = ["ping", ...options, formatAddress(address)];
    const { exitCode, stdout } = await host.spawn({ argv, netns, timeoutMs: PING_TIMEOUT_MS });
    const time = / time=([0-9.]+) ms/.exec(stdout)?.[1];
    return exitCode === 0 && time !== undefined ? { kind: "answered", rttMs: Number(time) } : null;
  } catch {
    // Not allowed to, or cut off: what the datagrams say counts.
    return null;
  }
}

/** What the kernel would do with a packet to this address, in the words of `ip route get`. */
export async function describeRoute(
  address: Address,
  netns: NetnsPath,
  host: Pick<Host, "spawn">,
): Promise<string> {
  const argv = ["ip", "-o", "route", "get", formatAddress(address)];
  const { exitCode, stdout, stderr } = await host.spawn({ argv, netns, timeoutMs: PING_TIMEOUT_MS });
  const text = exitCode === 0 ? stdout : stderr;
  return text.replaceAll("\\", " ").replace(/\s+/g, " ").trim();
}
