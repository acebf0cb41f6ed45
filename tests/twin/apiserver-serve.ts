import type { IncomingMessage, ServerResponse } from "node:http";
import type { Store } from "./apiserver-store.ts";

/** What a request is about. */
export type Verb = "list" | "watch" | "patch";

/** One way to answer badly; the first that fits a request is used up by it. */
export interface Misbehaviour {
  /** Which requests; all unless given. */
  readonly on?: Verb;
  /** How many of them; 1 unless given. */
  readonly times?: number;
  /** An HTTP status with a Status body. */
  readonly status?: number;
  readonly retryAfterS?: number;
  readonly message?: string;
  /** Waits so long before anything else. */
  readonly delayMs?: number;
  /** Never answers. */
  readonly hang?: boolean;
  /** 200 with this body instead of the right one; "" is the empty 200. */
  readonly text?: string;
  /** The body of a list is cut after so many bytes, and the connection reset. */
  readonly cutAfterBytes?: number;
}

/** One request as it came. */
export interface SeenRequest {
  readonly verb: Verb;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | null;
  readonly hasClientCertificate: boolean;
}

/** An open watch. */
export interface OpenWatch {
  readonly write: (text: string) => void;
  /** In order, as after timeoutSeconds. */
  readonly end: () => void;
  /** By a TCP reset. */
  readonly reset: () => void;
}

/** Answers with an API Status. */
export function sendStatus(
  response: ServerResponse,
  code: number,
  message: string,
  retryAfterS?: number,
): void {
  if (retryAfterS !== undefined) response.setHeader("Retry-After", `${retryAfterS}`);
  response.writeHead(code, { "Content-Type": "application/json" });
  response.end(JSON.stringify(statusOf(code, message)));
}

export function statusOf(code: number, message: string) {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, message };
}

/** A page of the list. */
export function serveList(
  store: Store,
  query: URLSearchParams,
  response: ServerResponse,
  cutAfterBytes?: number,
): void {
  const page = store.page(Number(query.get("limit") ?? "0"), query.get("continue"));
  if (page.kind === "gone") {
    sendStatus(
      response,
      410,
      "The provided continue parameter is too old to display a consistent list result",
    );
    return;
  }
  const metadata = {
    resourceVersion: `${page.version}`,
    ...(page.next === null ? {} : { continue: page.next }),
  };
  const text = JSON.stringify({ kind: "NodeList", apiVersion: "v1", metadata, items: page.items });
  response.writeHead(200, { "Content-Type": "application/json" });
  if (cutAfterBytes === undefined) {
    response.end(text);
    return;
  }
  response.write(text.slice(0, cutAfterBytes));
  setTimeout(() => response.socket?.destroy(), 20);
}

/** A watch from the version in the query on; `open` holds it while it lasts. */
export function serveWatch(
  store: Store,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
  open: Set<OpenWatch>,
): void {
  const missed = store.since(Number(query.get("resourceVersion") ?? "0"));
  response.writeHead(200, { "Content-Type": "application/json" });
  // As the real one does: the headers go out before there is anything to tell.
  response.flushHeaders();
  if (missed === null) {
    response.end(`${JSON.stringify({ type: "ERROR", object: statusOf(410, "too old resource version") })}\n`);
    return;
  }
  for (const line of missed) response.write(`${line}\n`);
  const forget = store.listen((line) => response.write(`${line}\n`));
  const timer = setTimeout(() => watch.end(), Number(query.get("timeoutSeconds") ?? "1800") * 1000);
  const close = (): void => {
    clearTimeout(timer);
    forget();
    open.delete(watch);
  };
  const watch: OpenWatch = {
    write: (text) => response.write(text),
    end: () => {
      close();
      response.end();
    },
    reset: () => {
      close();
      request.socket.destroy();
    },
  };
  response.on("close", close);
  open.add(watch);
}

/** The conditions of a strategic merge patch put into a Node's status: they merge by `type`. */
export function servePatch(store: Store, name: string, body: string, response: ServerResponse): void {
  const node = store.get(name);
  if (node === undefined) {
    sendStatus(response, 404, `nodes "${name}" not found`);
    return;
  }
  const patch: { status?: { conditions?: { type: string }[] } } = JSON.parse(body);
  const status: { conditions?: { type: string }[] } = Object(node.status);
  const conditions = new Map((status.conditions ?? []).map((condition) => [condition.type, condition]));
  for (const condition of patch.status?.conditions ?? []) {
    conditions.set(condition.type, { ...conditions.get(condition.type), ...condition });
  }
  const stored = store.upsert({ ...node, status: { ...status, conditions: [...conditions.values()] } });
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify(stored));
}
