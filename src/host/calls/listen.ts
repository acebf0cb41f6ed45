import { chmodSync, closeSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { HostError, messageOf } from "../errors.ts";
import { folderOf, unlessMissing } from "../files.ts";
import { openInbox } from "./descriptors.ts";
import {
  formatAnswer,
  formatHello,
  HEADER_BYTES,
  type Head,
  type Namespaces,
  parseEnvironmentBlock,
  parseHead,
} from "./frames.ts";

const OWNER_ONLY = 0o600;
/** Connections at once; those beyond go elsewhere. */
const MAX_CONNECTIONS = 1_024;
/** Bytes of requests that are held at once; a launcher with more goes elsewhere. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;
/** A launcher that says nothing for so long, in seconds, is let go. */
const SILENCE_S = 30;
const GO_ON = 0;
const GO_ELSEWHERE = 1;

/** One call that a launcher handed over. */
export interface HandedCall {
  readonly variables: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** The network namespace of CNI_NETNS as the launcher opened it; null when it named none, or could not. */
  readonly netns: number | null;
  /** Where the launcher runs. */
  readonly namespaces: Namespaces;
  /** Calls back when the launcher goes away before it has the answer. */
  onGone(listener: () => void): void;
}

/** What becomes of a call; null: declined, nothing was done for it. */
export type Served = { readonly exitCode: number; readonly stdout: string } | null;

/** Who serves calls. */
export interface CallServer {
  serve(call: HandedCall): Promise<Served>;
  /** The launcher went away without having given this answer to its caller; resolves when that is dealt with. */
  onLost(call: HandedCall): Promise<void>;
}

interface Connection {
  chunks: Uint8Array[];
  length: number;
  head: Head | null;
  phase: "request" | "serving" | "answered" | "done";
  call: HandedCall | null;
  goneListeners: (() => void)[];
  /** What the socket has not taken yet. */
  unsent: Uint8Array | null;
}

type Socket = Bun.Socket<Connection>;

/** Launchers are listened for. */
export interface CallListener {
  /** Ends that: whose call is not here yet goes elsewhere. Calls under way go on. */
  close(): void;
  /** Resolves when there is no call under way, and no answer that its caller has not got yet. */
  settled(): Promise<void>;
}

/**
 * Listens for launchers at `path` and `<path>.fd`, for root alone; both are there at once and whole, whatever was there
 * before. Throws HostError.
 */
export function listenForCalls(path: string, server: CallServer): CallListener {
  mkdirSync(folderOf(path), { recursive: true, mode: 0o755 });
  const fresh = `${path}.new`;
  for (const left of [fresh, `${path}.fd.new`]) rmSync(left, { force: true });
  const inbox = openInbox(`${path}.fd.new`);
  let heldBytes = 0;
  const sockets = new Set<Socket>();
  let underWay = 0;
  let waiters: (() => void)[] = [];

  const leave = () => {
    underWay--;
    if (underWay > 0) return;
    for (const resolve of waiters) resolve();
    waiters = [];
  };
  const release = (connection: Connection) => {
    heldBytes -= connection.length;
    connection.length = 0;
    connection.chunks = [];
  };
  const send = (socket: Socket, bytes: Uint8Array) => {
    const sent = socket.write(bytes);
    if (sent < bytes.length) socket.data.unsent = bytes.subarray(Math.max(0, sent));
    else socket.data.unsent = null;
  };
  const end = (socket: Socket) => {
    socket.data.phase = "done";
    socket.end();
  };
  const decline = (socket: Socket) => {
    release(socket.data);
    socket.data.phase = "done";
    send(socket, formatAnswer(null));
  };
  const run = async (socket: Socket, call: HandedCall) => {
    let served: Served;
    try {
      served = await server.serve(call);
    } catch {
      // To its caller an agent that ended: nobody knows what was done.
      if (socket.data.phase === "serving") end(socket);
      leave();
      return;
    } finally {
      if (call.netns !== null) closeSync(call.netns);
    }
    if (socket.data.phase !== "serving") {
      if (served !== null) await server.onLost(call);
      leave();
      return;
    }
    // Declined, the launcher has nothing more to say.
    socket.data.phase = served === null ? "done" : "answered";
    send(socket, formatAnswer(served));
    if (served === null) {
      socket.timeout(SILENCE_S);
      leave();
    }
  };
  const begin = (socket: Socket, head: Head) => {
    const connection = socket.data;
    const request = Buffer.concat(connection.chunks);
    release(connection);
    const handed = inbox.take(head.token);
    // Without its datagram nobody knows who asks; only root may.
    if (handed === null || handed.uid !== 0 || (head.hasDescriptor && handed.fd === null)) {
      if (handed?.fd != null) closeSync(handed.fd);
      decline(socket);
      return;
    }
    const stdinAt = HEADER_BYTES + head.environmentBytes;
    const call: HandedCall = {
      variables: parseEnvironmentBlock(request.subarray(HEADER_BYTES, stdinAt)),
      stdin: request.subarray(stdinAt).toString(),
      netns: handed.fd,
      namespaces: head.namespaces,
      onGone: (listener) => connection.goneListeners.push(listener),
    };
    connection.phase = "serving";
    connection.call = call;
    underWay++;
    socket.timeout(0);
    void run(socket, call);
  };
  const receive = (socket: Socket, data: Uint8Array) => {
    const connection = socket.data;
    if (connection.phase === "answered") {
      // 'K': its caller has the answer.
      end(socket);
      leave();
      return;
    }
    if (connection.phase !== "request") return;
    connection.chunks.push(data.slice());
    connection.length += data.length;
    heldBytes += data.length;
    if (connection.length < HEADER_BYTES) return;
    connection.head ??= parseHead(Buffer.concat(connection.chunks));
    const { head } = connection;
    const wanted = head === null ? 0 : HEADER_BYTES + head.environmentBytes + head.stdinBytes;
    if (head === null || connection.length > wanted || heldBytes > MAX_HELD_BYTES) {
      decline(socket);
      return;
    }
    if (connection.length === wanted) begin(socket, head);
  };

  const listener = openListener(fresh, {
    open: (socket) => {
      sockets.add(socket);
      inbox.drain();
      socket.data = {
        chunks: [],
        length: 0,
        head: null,
        phase: "request",
        call: null,
        goneListeners: [],
        unsent: null,
      };
      socket.timeout(SILENCE_S);
      const isFull = sockets.size > MAX_CONNECTIONS || heldBytes > MAX_HELD_BYTES;
      send(socket, formatHello(isFull ? GO_ELSEWHERE : GO_ON));
      if (isFull) end(socket);
    },
    data: receive,
    drain: (socket) => {
      const { unsent } = socket.data;
      if (unsent !== null) send(socket, unsent);
    },
    timeout: (socket) => {
      socket.terminate();
    },
    error: () => undefined,
    close: (socket) => {
      sockets.delete(socket);
      const connection = socket.data;
      release(connection);
      const { phase, call, goneListeners } = connection;
      connection.phase = "done";
      if (phase === "serving") for (const listener of goneListeners) listener();
      if (phase === "answered" && call !== null) void server.onLost(call).finally(leave);
    },
  });
  for (const made of [fresh, `${path}.fd.new`]) chmodSync(made, OWNER_ONLY);
  // The inbox first: who finds the other one sends its descriptor at once.
  renameSync(`${path}.fd.new`, `${path}.fd`);
  renameSync(fresh, path);
  const inode = inodeOf(path);
  return {
    close: () => {
      // That of an agent that came after us stays.
      if (inodeOf(path) === inode) for (const made of [path, `${path}.fd`]) rmSync(made, { force: true });
      listener.stop(false);
      inbox.close();
      for (const socket of sockets) {
        if (socket.data.phase !== "request") continue;
        decline(socket);
        socket.end();
      }
    },
    settled: () => (underWay === 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
  };
}

function openListener(unix: string, socket: Bun.SocketHandler<Connection>) {
  try {
    return Bun.listen<Connection>({ unix, socket });
  } catch (error) {
    throw new HostError(`can't listen on ${unix}: ${messageOf(error)}`, "see that its folder can be written");
  }
}

function inodeOf(path: string): number | null {
  return unlessMissing(() => statSync(path).ino);
}
