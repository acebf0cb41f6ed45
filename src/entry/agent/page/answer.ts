import { type HttpAnswer, type ListenAddress, PLAIN_TEXT } from "../../../host/serve.ts";
import { isLoopback, parseAddress } from "../../../net/address.ts";
import { createDocument, SAFE_HEADERS } from "./document.ts";

/** What the page shows, each as the JSON that is answered. */
export interface PageSources {
  /** The agent's report (report.ts). */
  status(): string;
  /** The addresses (pool.ts). */
  pool(): string;
}

/**
 * Answers `/`, `/status.json` and `/pool.json`; null for every other path. On a loopback address only who asks for this
 * machine by name is answered, else 403.
 */
export function answerPage(
  listen: ListenAddress,
  sources: PageSources,
): (path: string, host: string | null) => HttpAnswer | null {
  const { html, headers } = createDocument();
  const isPrivate = listen.host !== null && isLoopback(listen.host);
  const json = (body: string) => ({ status: 200, type: "application/json", body, headers: SAFE_HEADERS });
  return (path, host) => {
    if (isPrivate && !isOwnName(host)) {
      const body = "asked for by a name of another machine: open it as localhost or by its address\n";
      return { status: 403, type: PLAIN_TEXT, body, headers: SAFE_HEADERS };
    }
    switch (path) {
      case "/":
        return { status: 200, type: "text/html; charset=utf-8", body: html, headers };
      case "/status.json":
        return json(sources.status());
      case "/pool.json":
        return json(sources.pool());
      default:
        return null;
    }
  };
}

/**
 * Whether a Host header names this machine by a loopback address or as localhost, whatever the port (that of a tunnel is
 * another one). A page of some site whose name was made to lead to 127.0.0.1 ("DNS rebinding") still sends the site's own
 * name, and a browser would let it read what is answered.
 */
export function isOwnName(host: string | null): boolean {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::[0-9]{1,5})?$/i.exec(host ?? "");
  if (parts === null) return false;
  const [, v6, name = ""] = parts;
  if (v6 === undefined && /^localhost\.?$/i.test(name)) return true;
  const address = parseAddress(v6 ?? name);
  return address !== null && address.family === (v6 === undefined ? 4 : 6) && isLoopback(address);
}
