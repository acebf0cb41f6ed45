import { type Address, ANY_ADDRESS, formatAddress } from "../net/address.ts";
import { HOST, type NetnsPath } from "../plan/step.ts";
import { errnoOf } from "./errors.ts";
import { inNetns } from "./netns.ts";

/** One question to the kernel of a peer. */
export interface RefusalRequest {
  readonly address: Address;
  /** Bytes of UDP payload. */
  readonly bytes: number;
  /** Each try waits this long for its answer. */
  readonly timeoutMs: number;
  /** The socket lives in this namespace; default our own. */
  readonly netns?: NetnsPath;
}

/**
 * Closed nearly everywhere; one try each, since a program may happen to listen on one of them: the neighbour of our own
 * (TCP) port, discard (RFC 863), and the first port of traceroute.
 */
const CLOSED_PORTS = [9158, 9, 33434];

/**
 * Sends a datagram to a closed UDP port, up to three times, and waits for the refusal (ICMP port unreachable, RFC 1122
 * §3.2.2.1). True: it came, so that the datagram arrived with a right checksum. Anything else, a route that is missing
 * included, is false. Never throws.
 */
export async function askRefusal(request: RefusalRequest): Promise<boolean> {
  const opened: { close(): void }[] = [];
  const { promise: refused, resolve } = Promise.withResolvers<boolean>();
  try {
    for (const port of CLOSED_PORTS) {
      try {
        const socket = await openTowards(request, port, () => resolve(true));
        // An answer to an earlier try still counts: each socket stays open until the end.
        opened.push(socket);
        socket.send(new Uint8Array(request.bytes));
      } catch {
        // No route, no memory, no IPv6: no answer, which the end of the waiting will say.
      }
      if (await Promise.race([refused, Bun.sleep(request.timeoutMs)])) return true;
    }
    return false;
  } finally {
    for (const socket of opened) socket.close();
  }
}

/** Connected, since only then the kernel hands an ICMP error to the socket, and nobody else's datagrams. */
function openTowards({ address, netns = HOST }: RefusalRequest, port: number, answered: () => void) {
  return inNetns(netns, () =>
    Bun.udpSocket({
      hostname: ANY_ADDRESS[address.family],
      connect: { hostname: formatAddress(address), port },
      socket: {
        // Bun hands over the error alone, its types say behind the socket: whichever it is.
        error: (...told: unknown[]) => {
          // Port unreachable only: "host unreachable" is told by routers, which verify no checksums.
          if (told.some((error) => errnoOf(error) === "ECONNREFUSED")) answered();
        },
        // Somebody listens there after all, and says so.
        data: answered,
      },
    }),
  );
}
