import type { NetnsPath } from "../plan/step.ts";
import { inNetns } from "./netns.ts";

/** An answer of an HTTP server. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * GET from a server that listens on 127.0.0.1 in a namespace; null: nobody answers in `timeoutMs`. HTTP/1.0: the server
 * closes, and sends no chunks. (`fetch` connects on another thread, which is in no foreign namespace.)
 */
export function askHttp(
  netns: NetnsPath,
  port: number,
  path: string,
  timeoutMs: number,
): Promise<HttpAnswer | null> {
  return new Promise((resolve) => {
    let text = "";
    let close = () => {};
    const finish = (answer: HttpAnswer | null) => {
      clearTimeout(timer);
      close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(null), timeoutMs);
    const none = () => finish(null);
    const connect = () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: (socket) => {
            close = () => socket.end();
            socket.write(`GET ${path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
          },
          data: (_socket, data) => {
            text += data.toString();
          },
          close: () => finish(parseAnswer(text)),
          error: none,
          connectError: none,
        },
      });
    inNetns(netns, connect).catch(none);
  });
}

function parseAnswer(text: string): HttpAnswer | null {
  const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(text)?.[1];
  const end = text.indexOf("\r\n\r\n");
  return status === undefined || end < 0 ? null : { status: Number(status), body: text.slice(end + 4) };
}
