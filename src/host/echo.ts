import { ANY_ADDRESS, FAMILIES } from "../net/address.ts";
import { inNetns } from "./netns.ts";

/** One answer to a probe. */
export interface ProbeAnswer {
  /** Milliseconds from sending to the answer; null when none came. */
  readonly rttMs: number | null;
  /** The source address as the receiver saw it. */
  readonly seenSource: string | null;
}

/** Sends probes from one namespace. */
export interface Prober {
  /** Asks the echo at `address`; at most `tries` datagrams, each given `timeoutMs`. */
  ask(address: string, tries: number, timeoutMs: number): Promise<ProbeAnswer>;
  close(): void;
}

/** Any ports that need no privilege; two, since a socket on `::` takes IPv4's port as well (bindv6only is 0). */
const PORTS = { 4: 17157, 6: 17158 } as const;

/**
 * Answers every datagram in a namespace with the source address it came from, both families. A socket stays in the
 * namespace in which it was made (socket(7)), so that one process can listen in all of them.
 */
export async function startEcho(netns: string): Promise<{ close(): void }> {
  const sockets: { close(): void }[] = [];
  const close = () => {
    for (const socket of sockets) socket.close();
  };
  try {
    for (const family of FAMILIES) sockets.push(await listen(netns, family));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

function listen(netns: string, family: 4 | 6) {
  return inNetns(netns, () =>
    Bun.udpSocket({
      hostname: ANY_ADDRESS[family],
      port: PORTS[family],
      socket: {
        error: ignoreUnreachable,
        data: (socket, data, port, address) => {
          try {
            socket.send(JSON.stringify({ id: data.toString(), source: address }), port, address);
          } catch {
            // No way back (EINVAL: a blackhole route): to the asker that is no answer, which is what it reports.
          }
        },
      },
    }),
  );
}

/** Opens the probing side in a namespace. */
export async function openProber(netns: string): Promise<Prober> {
  const waiting = new Map<string, (source: string) => void>();
  const open = (hostname: string) =>
    inNetns(netns, () =>
      Bun.udpSocket({
        hostname,
        socket: {
          error: ignoreUnreachable,
          data: (_socket, data) => {
            const { id, source } = readAnswer(data.toString());
            waiting.get(id)?.(source);
          },
        },
      }),
    );
  const v4 = await open(ANY_ADDRESS[4]);
  const v6 = await open(ANY_ADDRESS[6]);
  let counter = 0;
  const askOnce = (address: string, timeoutMs: number) =>
    new Promise<ProbeAnswer>((resolve) => {
      const id = String(++counter);
      const finish = (answer: ProbeAnswer) => {
        clearTimeout(timer);
        waiting.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => finish({ rttMs: null, seenSource: null }), timeoutMs);
      const sent = performance.now();
      waiting.set(id, (source) => finish({ rttMs: performance.now() - sent, seenSource: source }));
      try {
        const family = address.includes(":") ? 6 : 4;
        (family === 6 ? v6 : v4).send(id, PORTS[family], address);
      } catch {
        // Unreachable right now (no route): the timer ends this try, so that a retry does not come at once.
      }
    });
  return {
    ask: async (address, tries, timeoutMs) => {
      let answer: ProbeAnswer = { rttMs: null, seenSource: null };
      for (let attempt = 0; attempt < tries && answer.rttMs === null; attempt++) {
        answer = await askOnce(address, timeoutMs);
      }
      return answer;
    },
    close: () => {
      v4.close();
      v6.close();
    },
  };
}

/** An ICMP error (no route on the way) reaches the socket as one; to the asker it is no answer, which is what he reports. */
function ignoreUnreachable(): undefined {
  return undefined;
}

function readAnswer(text: string): { id: string; source: string } {
  const value: unknown = JSON.parse(text);
  const isAnswer = typeof value === "object" && value !== null && "id" in value && "source" in value;
  return isAnswer ? { id: String(value.id), source: String(value.source) } : { id: "", source: "" };
}
