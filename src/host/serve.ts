import { type Address, formatAddress, parseAddress } from "../net/address.ts";
import { errnoOf, HostError, messageOf } from "./errors.ts";

/** Where to listen; `host` null: on every address of both families. Port 0: one that is free. */
export interface ListenAddress {
  readonly host: Address | null;
  readonly port: number;
}

/** What a path says. */
export interface HttpAnswer {
  readonly status: number;
  /** Content type. */
  readonly type: string;
  readonly body: string;
  /** Further ones. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What answers: gets the path without its query, and the Host header as it was sent (null: none). */
export type Answer = (path: string, host: string | null) => Promise<HttpAnswer | null> | HttpAnswer | null;

export const PLAIN_TEXT = "text/plain; charset=utf-8";

/** Health checks and scrapes send no body. */
const LARGEST_BODY_BYTES = 1024;
/** A connection without traffic is closed after this many seconds, half-sent requests too. */
const IDLE_SECONDS = 10;
const ANSWER_TIMEOUT_MS = 5_000;

/** Parses `127.0.0.1:9157`, `[::1]:9157`, or `:9157` (every address). "off" for nothing; null when it is neither. */
export function parseListen(text: string): ListenAddress | "off" | null {
  if (text === "") return "off";
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  if (parts === null) return null;
  const [, v6, v4, digits] = parts;
  const port = Number(digits);
  if (port > 65535) return null;
  if (v6 === undefined && v4 === "") return { host: null, port };
  const host = parseAddress(v6 ?? v4 ?? "");
  if (host === null || host.family !== (v6 === undefined ? 4 : 6)) return null;
  return { host, port };
}

/** `HOST:PORT` as `parseListen` reads it. */
export function formatListen({ host, port }: ListenAddress): string {
  if (host === null) return `:${port}`;
  const text = formatAddress(host);
  return host.family === 6 ? `[${text}]:${port}` : `${text}:${port}`;
}

/**
 * Answers GET and HEAD by `answer`, which gets the path without its query and says null for a path it does not know
 * (404). Other methods get 405; an answer that throws gets 500, one that takes over 5 s 503. Throws HostError when it
 * can't listen there. `close` ends open connections as well.
 */
export function serveHttp(listen: ListenAddress, answer: Answer): { readonly port: number; close(): void } {
  const open = (hostname: string) =>
    Bun.serve({
      hostname,
      port: listen.port,
      idleTimeout: IDLE_SECONDS,
      maxRequestBodySize: LARGEST_BODY_BYTES,
      development: false,
      // Outside of development Bun shares a port with whoever asks for it too (SO_REUSEPORT): two agents would not notice.
      reusePort: false,
      // Without it, one request with a broken line would end up as a page of Bun's own.
      error: () => toResponse({ status: 500, type: PLAIN_TEXT, body: "internal error\n" }, false),
      fetch: async (request) => {
        const isHead = request.method === "HEAD";
        if (!isHead && request.method !== "GET") {
          const body = "only GET and HEAD\n";
          return toResponse({ status: 405, type: PLAIN_TEXT, body }, false, { allow: "GET, HEAD" });
        }
        return toResponse(await answerInTime(request, answer), isHead);
      },
    });
  const server = openFirst(listen, open);
  return {
    port: server.port ?? listen.port,
    close: () => {
      void server.stop(true);
    },
  };
}

function openFirst<T>(listen: ListenAddress, open: (hostname: string) => T): T {
  // "::" takes IPv4 as well (bindv6only is 0), where the kernel has IPv6 at all.
  const hostnames = listen.host === null ? ["::", "0.0.0.0"] : [formatAddress(listen.host)];
  let failure: unknown;
  for (const hostname of hostnames) {
    try {
      return open(hostname);
    } catch (error) {
      failure = error;
      if (errnoOf(error) === "EADDRINUSE") break;
    }
  }
  throw new HostError(`can't listen on ${formatListen(listen)}: ${messageOf(failure)}`, hintOf(failure));
}

function hintOf(error: unknown): string {
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return "another program has this port (`ss -ltnp` names it); choose another one";
    case "EADDRNOTAVAIL":
      return "no link of this machine has this address; choose one that it has";
    case "EACCES":
      return "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one";
    default:
      return "choose another address or port";
  }
}

async function answerInTime({ url, headers }: Request, answer: Answer): Promise<HttpAnswer> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<HttpAnswer>((resolve) => {
    const body = "no answer in time\n";
    timer = setTimeout(() => resolve({ status: 503, type: PLAIN_TEXT, body }), ANSWER_TIMEOUT_MS);
  });
  try {
    const found = await Promise.race([answer(new URL(url).pathname, headers.get("host")), late]);
    return found ?? { status: 404, type: PLAIN_TEXT, body: "not found\n" };
  } catch (error) {
    return { status: 500, type: PLAIN_TEXT, body: `${messageOf(error)}\n` };
  } finally {
    clearTimeout(timer);
  }
}

function toResponse(
  { status, type, body, headers: further = {} }: HttpAnswer,
  isHead: boolean,
  more: Readonly<Record<string, string>> = {},
): Response {
  const headers = { "content-type": type, "cache-control": "no-store", ...further, ...more };
  if (!isHead) return new Response(body, { status, headers });
  return new Response(null, {
    status,
    headers: { ...headers, "content-length": String(new TextEncoder().encode(body).length) },
  });
}
