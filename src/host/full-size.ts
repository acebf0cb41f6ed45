import { ANY_ADDRESS } from "../net/address.ts";
import type { NetnsPath } from "../plan/step.ts";
import type { ProbeAnswer } from "./echo.ts";
import { inNetns } from "./netns.ts";

/** Bytes of IP and UDP header (RFC 791, 8200, 768). */
const HEADERS = { 4: 20 + 8, 6: 40 + 8 } as const;
const NOTHING: ProbeAnswer = { rttMs: null, seenSource: null };

/** One datagram: between which namespaces, to which address, and its size with all headers from IP on, in bytes. */
export interface FullSizeRequest {
  readonly from: NetnsPath;
  readonly to: NetnsPath;
  readonly address: string;
  readonly packetBytes: number;
  readonly timeoutMs: number;
}

/**
 * Sends one datagram of exactly this size that nobody on the way may cut: Linux sets DF on what fits the path as far
 * as it is known (ip(7), IP_PMTUDISC_WANT, the default), and IPv6 routers never cut. Only meaningful while the sending
 * namespace remembers no smaller path (`ip route flush cache`). `rttMs` is the one way.
 */
export async function sendFullSize(request: FullSizeRequest): Promise<ProbeAnswer> {
  const family = request.address.includes(":") ? 6 : 4;
  const payload = new Uint8Array(request.packetBytes - HEADERS[family]).fill(0x2e);
  let hear: (answer: ProbeAnswer) => void = () => {};
  const heard = new Promise<ProbeAnswer>((resolve) => {
    hear = resolve;
  });
  let sentAt = 0;
  const timer = setTimeout(() => hear(NOTHING), request.timeoutMs);
  const receiver = await inNetns(request.to, () =>
    Bun.udpSocket({
      hostname: ANY_ADDRESS[family],
      socket: {
        data: (_socket, data, _port, source) => {
          if (data.length === payload.length) hear({ rttMs: performance.now() - sentAt, seenSource: source });
        },
      },
    }),
  );
  const sender = await inNetns(request.from, () =>
    Bun.udpSocket({
      hostname: ANY_ADDRESS[family],
      socket: {
        // "Fragmentation needed" on the way reaches the socket as an error; to the asker it is no answer.
        error: () => undefined,
      },
    }),
  );
  try {
    sentAt = performance.now();
    sender.send(payload, receiver.port, request.address);
    return await heard;
  } catch {
    // EMSGSIZE (larger than the sender's own link), ENETUNREACH.
    return NOTHING;
  } finally {
    clearTimeout(timer);
    sender.close();
    receiver.close();
  }
}
