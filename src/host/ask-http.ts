import type { NetnsPath } from "../plan/step.ts";
import { errnoOf, messageOf } from "./errors.ts";
import { inNetns } from "./netns.ts";

/** An answer of an HTTP server. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** What came of asking: an answer, or why there is none, in a few words. */
export type Asked =
  | { readonly answer: HttpAnswer; readonly fault: null }
  | { readonly answer: null; readonly fault: string };

/**
 * GET from a server that listens on 127.0.0.1 in a namespace; null: nobody answers in `timeoutMs`. (`fetch` connects on
 * another thread, which is in no foreign namespace.)
 */
export async function askHttp(
  netns: NetnsPath,
  port: number,
  path: string,
  timeoutMs: number,
): Promise<HttpAnswer | null> {
  const enter = <T>(connect: () => Promise<T>) => inNetns(netns, connect);
  const asked = await ask(
    { hostname: "127.0.0.1", port, path, timeoutMs, mostBytes: Number.MAX_SAFE_INTEGER },
    enter,
  );
  return asked.answer;
}

/** One question to a server. */
export interface HttpQuestion {
  /** An address. */
  readonly hostname: string;
  readonly port: number;
  readonly path: string;
  readonly timeoutMs: number;
  /** A longer answer is none. */
  readonly mostBytes: number;
}

/**
 * GET from a server, by no proxy whatever the environment says. HTTP/1.0: the server closes, and sends no chunks. Never
 * throws.
 */
export function ask(
  { hostname, port, path, timeoutMs, mostBytes }: HttpQuestion,
  enter: <T>(connect: () => Promise<T>) => Promise<T> = (connect) => connect(),
): Promise<Asked> {
  return new Promise((resolve) => {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    let close = () => {};
    let isOver = false;
    const finish = (asked: Asked) => {
      // The end of the connection is told as well.
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      close();
      resolve(asked);
    };
    const fail = (fault: string) => finish({ answer: null, fault });
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    const refuse = (error: unknown) => fail(describe(error));
    const connect = () =>
      Bun.connect({
        hostname,
        port,
        socket: {
          open: (socket) => {
            close = () => socket.end();
            if (isOver) return close();
            socket.write(`GET ${path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
          },
          data: (_socket, data) => {
            bytes += data.length;
            if (bytes > mostBytes) return fail(`an answer of more than ${mostBytes} bytes`);
            // The buffer is the socket's own.
            parts.push(new Uint8Array(data));
          },
          close: () => {
            const answer = parseAnswer(Buffer.concat(parts).toString());
            if (answer === null) fail("its answer is no HTTP");
            else finish({ answer, fault: null });
          },
          error: (_socket, error) => refuse(error),
          connectError: (_socket, error) => refuse(error),
        },
      });
    enter(connect).catch(refuse);
  });
}

function describe(error: unknown): string {
  return errnoOf(error) === "ECONNREFUSED" ? "connection refused" : messageOf(error);
}

function parseAnswer(text: string): HttpAnswer | null {
  const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(text)?.[1];
  const end = text.indexOf("\r\n\r\n");
  return status === undefined || end < 0 ? null : { status: Number(status), body: text.slice(end + 4) };
}
