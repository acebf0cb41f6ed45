import * as v from "valibot";
import { adviceOf, describeFailure, NO_ANSWER } from "./advice.ts";
import type { Connection } from "./connection.ts";
import { type Access, ConnectionFault } from "./credential.ts";

/** What one request is. */
export interface ApiRequest {
  readonly method: "GET" | "PATCH";
  /** From `/api` on. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly contentType?: string;
  /** Bound on everything up to the headers: DNS, connecting, TLS, and the server's thinking. */
  readonly headersTimeoutMs: number;
  /** Bound on each silence while the body comes. */
  readonly silenceTimeoutMs: number;
}

/** The API server said no, or nothing; the message is one whole line. */
export class ApiFault extends Error {
  override readonly name = "ApiFault";
  constructor(
    message: string,
    /** HTTP status; null when there was no answer. */
    readonly status: number | null,
    /** What the server asks to wait; null when it does not say. */
    readonly retryAfterMs: number | null,
  ) {
    super(message);
  }
}

const MAX_STATUS_BYTES = 64 << 10;
const MAX_RETRY_AFTER_MS = 300_000;
const StatusSchema = v.object({ message: v.pipe(v.string(), v.minLength(1)) });

/** The answer to a request, whose body comes in pieces. */
export interface ApiAnswer {
  /** How the request is called in messages: `GET https://host:port/api/v1/nodes`. */
  readonly name: string;
  /** Gives each piece to `onChunk` until the body ends. Throws ApiFault when it breaks off or falls silent. */
  readonly read: (onChunk: (chunk: Uint8Array) => void) => Promise<void>;
  /** Throws away what is still to come. */
  readonly cancel: () => void;
}

/**
 * Sends one request and waits for its headers. Throws ApiFault for every answer but 2xx and for every failure on the
 * way, ConnectionFault when there is nothing to ask. `signal` ends it at once.
 */
export async function ask(
  connection: Connection,
  request: ApiRequest,
  signal: AbortSignal,
): Promise<ApiAnswer> {
  const access = await within(connection.access(), signal);
  const name = `${request.method} ${access.server}${request.path}`;
  const watchdog = openWatchdog(signal);
  const fail = (error: unknown): ApiFault =>
    error instanceof ApiFault
      ? error
      : new ApiFault(
          `${name}: ${describeFailure(watchdog.reason() ?? error, connection.unreached)}`,
          null,
          null,
        );
  try {
    watchdog.arm(request.headersTimeoutMs, NO_ANSWER);
    const response = await within(send(access, request, watchdog.signal), watchdog.signal);
    if (!response.ok) throw await refusalOf(name, request.method, response, watchdog);
    return answerOf(name, response, request.silenceTimeoutMs, watchdog, fail);
  } catch (error) {
    watchdog.stop();
    throw signal.aborted ? signal.reason : fail(error);
  }
}

function send(access: Access, request: ApiRequest, signal: AbortSignal): Promise<Response> {
  const query = request.query === undefined ? "" : `?${new URLSearchParams(request.query)}`;
  return fetch(`${access.server}${request.path}${query}`, {
    method: request.method,
    headers: {
      ...access.headers,
      Accept: "application/json",
      "User-Agent": "minicni",
      ...(request.contentType === undefined ? {} : { "Content-Type": request.contentType }),
    },
    ...(request.body === undefined ? {} : { body: request.body }),
    ...(access.proxy === undefined ? {} : { proxy: access.proxy }),
    // A redirect would carry our token elsewhere.
    redirect: "manual",
    // Bun's own limit of 300 s of silence is below a quiet watch.
    timeout: false,
    // Set, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment does not switch verifying off.
    tls: { ...access.tls, rejectUnauthorized: true },
    signal,
  });
}

function answerOf(
  name: string,
  response: Response,
  silenceTimeoutMs: number,
  watchdog: Watchdog,
  fail: (error: unknown) => ApiFault,
): ApiAnswer {
  watchdog.arm(silenceTimeoutMs, "no byte");
  const body: ReadableStream<Uint8Array> | null = response.body;
  const reader = body?.getReader();
  return {
    name,
    read: async (onChunk) => {
      try {
        while (reader !== undefined) {
          const { done, value } = await within(reader.read(), watchdog.signal);
          if (done) return;
          watchdog.arm(silenceTimeoutMs, "no byte");
          onChunk(value);
        }
      } catch (error) {
        throw error instanceof SyntaxError
          ? new ApiFault(`${name}: ${error.message}`, null, null)
          : fail(error);
      } finally {
        watchdog.stop();
      }
    },
    cancel: watchdog.stop,
  };
}

/** The fault for an answer that is not 2xx: what the server says, and what to do. */
async function refusalOf(
  name: string,
  method: string,
  response: Response,
  watchdog: Watchdog,
): Promise<ApiFault> {
  let said = "";
  try {
    const parsed = v.safeParse(StatusSchema, JSON.parse(await readBeginning(response, watchdog.signal)));
    if (parsed.success) said = `: ${parsed.output.message.slice(0, 500)}`;
  } catch {
    // A proxy's page instead of a Status, or a body that never comes: the code must do.
  }
  const { status } = response;
  // A 404 with a Status is the API's own: the address is right, the object is not there.
  const advice = status === 404 && said !== "" ? null : (adviceOf(`${status} ${method}`) ?? adviceOf(status));
  const line = `${name}: ${status} ${response.statusText || "(no reason)"}${said}${advice === null ? "" : ` (${advice})`}`;
  return new ApiFault(
    line.replaceAll(/\s+/g, " "),
    status,
    retryAfterOf(response.headers.get("retry-after")),
  );
}

/** The first 64 KiB of a body: what answers in the API's place may never end. */
export async function readBeginning(response: Response, signal: AbortSignal): Promise<string> {
  const body: ReadableStream<Uint8Array> | null = response.body;
  const reader = body?.getReader();
  const chunks: Uint8Array[] = [];
  try {
    for (let size = 0; reader !== undefined && size < MAX_STATUS_BYTES; ) {
      const { done, value } = await within(reader.read(), signal);
      if (done) break;
      chunks.push(value);
      size += value.length;
    }
  } finally {
    reader?.cancel().catch(() => undefined);
  }
  return Buffer.concat(chunks).toString("utf8", 0, MAX_STATUS_BYTES);
}

/** Seconds only, as the API server sends it (a date would need a clock that agrees with the server's). */
function retryAfterOf(value: string | null): number | null {
  if (value === null || !/^[0-9]{1,6}$/.test(value)) return null;
  return Math.min(Number(value) * 1000, MAX_RETRY_AFTER_MS);
}

interface Watchdog {
  readonly signal: AbortSignal;
  /** Starts the time again; when it is over, the request is aborted for this reason. */
  readonly arm: (ms: number, what: string) => void;
  /** Ends the timer and the request. */
  readonly stop: () => void;
  /** Why the time was over; null when it was not. */
  readonly reason: () => Error | null;
}

function openWatchdog(outer: AbortSignal): Watchdog {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reason: Error | null = null;
  const onOuter = () => stop();
  const stop = () => {
    clearTimeout(timer);
    outer.removeEventListener("abort", onOuter);
    if (!controller.signal.aborted) controller.abort(outer.aborted ? outer.reason : undefined);
  };
  outer.addEventListener("abort", onOuter);
  return {
    signal: controller.signal,
    arm: (ms, what) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        reason = new Error(`${what} for ${ms / 1000} s`);
        controller.abort(reason);
      }, ms);
    },
    stop,
    reason: () => reason,
  };
}

/** The promise, or the signal's reason as soon as it is aborted, whether or not the work heeds the signal itself. */
export function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => {});
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Any failure of a source in one line. */
export function lineOf(error: unknown, connection: Connection): string {
  if (error instanceof ConnectionFault && !error.message.includes(connection.name)) {
    return `${connection.name}: ${error.message}`;
  }
  return error instanceof Error ? error.message : String(error);
}
