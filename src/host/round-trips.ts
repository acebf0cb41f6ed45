import { type Address, formatAddress } from "../net/address.ts";
import { type BlockingSocket, listenBlocking, openBlocking, type Transport } from "./blocking-socket.ts";
import { HostError } from "./errors.ts";

/** Where is asked, and for how long, in milliseconds. */
export interface RoundTripRequest {
  readonly what: Transport;
  readonly address: Address;
  readonly port: number;
  readonly milliseconds: number;
}

/** One request or answer; a message of one byte is the end. */
const MESSAGE_BYTES = 64;
const END = Uint8Array.of(0);
/** A call gives up after this time, so that the end of our own is seen soon. */
const CALL_MS = 100;
/** For the other side to come up, in milliseconds. */
const MEET_MS = 3_000;
/** Pause between two tries to meet it. */
const RETRY_MS = 10;

/**
 * Answers round trips at an address of ours until the asker says that it is done; at the latest, and also when nobody
 * came, `milliseconds` after the start. Holds this thread. Returns how many were answered. Throws HostError when the
 * port is taken.
 */
export function answerRoundTrips({ what, address, port, milliseconds }: RoundTripRequest): number {
  const end = performance.now() + milliseconds;
  const socket = listenBlocking(what, address, port, CALL_MS);
  try {
    return what === "udp" ? answerDatagrams(socket, end) : answerConnections(socket, end);
  } finally {
    socket.close();
  }
}

function answerDatagrams(socket: BlockingSocket, end: number): number {
  const message = new Uint8Array(MESSAGE_BYTES);
  let answered = 0;
  let length = -1;
  // The asker keeps its socket: to know it once saves the address with every datagram.
  while (length < 0 && performance.now() < end) length = socket.receiveFirst(message);
  for (; length !== END.length && performance.now() < end; length = socket.receive(message)) {
    if (length === MESSAGE_BYTES && socket.send(message) === MESSAGE_BYTES) answered++;
  }
  return answered;
}

function answerConnections(socket: BlockingSocket, end: number): number {
  const last = new Uint8Array(1);
  let answered = 0;
  let isDone = false;
  while (!isDone && performance.now() < end) {
    const connection = socket.accept();
    if (connection === null) continue;
    if (connection.send(END) === END.length) answered++;
    // The asker resets the connection once it has its byte, or sends one when it is done.
    isDone = connection.receive(last) === END.length;
    connection.close();
  }
  return answered;
}

/**
 * Times round trips one after the other. Of UDP: a datagram of 64 bytes and back. Of TCP: a new connection, until the
 * first byte from the other side. Holds this thread for `milliseconds`, and up to 3 s before that until the other side is
 * there. Returns the time of each, in microseconds. Throws HostError when nobody answers.
 */
export function measureRoundTrips(request: RoundTripRequest): number[] {
  return request.what === "udp" ? askDatagrams(request) : askConnections(request);
}

function askDatagrams(request: RoundTripRequest): number[] {
  const { address, port, milliseconds } = request;
  const socket = openBlocking("udp", address, port, CALL_MS);
  try {
    const message = new Uint8Array(MESSAGE_BYTES);
    const answer = new Uint8Array(MESSAGE_BYTES);
    let number = 0;
    const ask = () => {
      new DataView(message.buffer).setUint32(0, ++number);
      if (socket.send(message) !== MESSAGE_BYTES) return false;
      // An answer that comes late must not be taken for the next one.
      for (;;) {
        if (socket.receive(answer) !== MESSAGE_BYTES) return false;
        if (new DataView(answer.buffer).getUint32(0) === number) return true;
      }
    };
    meet(request, () => socket.connect() && ask());
    const times = timeEach(milliseconds, ask);
    socket.send(END);
    return times;
  } finally {
    socket.close();
  }
}

function askConnections(request: RoundTripRequest): number[] {
  const { address, port, milliseconds } = request;
  const first = new Uint8Array(1);
  const ask = (isLast: boolean) => {
    const socket = openBlocking("tcp", address, port, CALL_MS);
    try {
      const isAnswered = socket.connect() && socket.receive(first) === first.length;
      if (isLast) socket.send(END);
      return isAnswered;
    } finally {
      socket.close();
    }
  };
  meet(request, () => ask(false));
  const times = timeEach(milliseconds, () => ask(false));
  ask(true);
  return times;
}

/** Asks until the first answer comes. */
function meet({ what, address, port }: RoundTripRequest, ask: () => boolean): void {
  const end = performance.now() + MEET_MS;
  while (!ask()) {
    if (performance.now() > end) {
      throw new HostError(
        `no answer by ${what} from port ${port} of ${formatAddress(address)} within ${MEET_MS / 1000} s`,
        "see whether the other side was started, and whether it can be reached from here",
      );
    }
    Bun.sleepSync(RETRY_MS);
  }
}

/** Of those that were answered, the time of each in microseconds. */
function timeEach(milliseconds: number, ask: () => boolean): number[] {
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  let before = performance.now();
  while (before < end) {
    const isAnswered = ask();
    const now = performance.now();
    if (isAnswered) times.push((now - before) * 1000);
    before = now;
  }
  return times;
}
