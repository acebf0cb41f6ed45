import { openBackoff, pause } from "./backoff.ts";
import type { Connection } from "./connection.ts";
import { listNodes, NODES_PATH } from "./list.ts";
import { openNodeTable } from "./node-table.ts";
import { ApiFault, ask, lineOf } from "./request.ts";
import { settle } from "./settle.ts";
import type { NodeListener, NodeSource } from "./source.ts";
import { splitLines } from "./split.ts";
import { tellOwn, untilAborted } from "./tell.ts";
import { takeLine } from "./watch-events.ts";

/** All of it is optional; the defaults are what an agent wants, smaller values are for tests. */
export interface NodeApiOptions {
  /** Name of the own Node, for its NetworkUnavailable condition. */
  readonly self?: string;
  /** The first list comes after 0 to this many ms: all agents of a DaemonSet may start at one moment. */
  readonly startJitterMs?: number;
  readonly pageSize?: number;
  /** Changes are told when none came for this long … */
  readonly quietMs?: number;
  /** … and at the latest this long after the first. */
  readonly maxQuietMs?: number;
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
  readonly headersTimeoutMs?: number;
  /** Longest silence within a list. */
  readonly listSilenceMs?: number;
  /** The server ends a watch after this to twice this many seconds (client-go: 300 to 600). */
  readonly watchSeconds?: number;
  /** How long a watch may be silent beyond the time at which the server should have ended it. */
  readonly watchGraceMs?: number;
  /** A watch of this length has proven that the API works. */
  readonly steadyMs?: number;
  readonly beatMs?: number;
  /** 0 to below 1. */
  readonly random?: () => number;
}

const DEFAULTS = {
  startJitterMs: 500,
  pageSize: 500,
  quietMs: 50,
  maxQuietMs: 500,
  backoffMinMs: 500,
  backoffMaxMs: 30_000,
  headersTimeoutMs: 10_000,
  listSilenceMs: 30_000,
  watchSeconds: 240,
  watchGraceMs: 30_000,
  steadyMs: 5000,
  beatMs: 5000,
  random: Math.random,
};

/** HTTP 410, also as the code of an ERROR event: "too old resource version". */
const GONE = 410;
/**
 * A version that the server goes on refusing is given up: after a restore of etcd it may lie in the server's future, which
 * is 504 "Too large resource version" and not 410.
 */
const MAX_REFUSALS = 5;
/** Above the longest back-off with the longest Retry-After that is honoured. */
const MAX_PAUSE_MS = 360_000;

/**
 * Follows the Nodes of an API server: a list, then watches that go on from each other by the resourceVersion of the last
 * event or bookmark; another list only when the server has forgotten that version (410), or when what a watch says
 * can't be believed. Whatever fails is told, waited for and tried again; what was known stays in force meanwhile.
 *
 * Each wait is bounded and by the monotonic clock, and the loop beats while it waits.
 */
export function watchNodeApi(
  connection: Connection,
  told: NodeListener,
  options: NodeApiOptions = {},
): NodeSource {
  const limits = { ...DEFAULTS, ...options };
  const { signal, abort } = openAbort();
  const listener = untilAborted(told, signal);
  const table = openNodeTable(options.self ?? null);
  const own = tellOwn(listener);
  const backoff = openBackoff(limits.backoffMinMs, limits.backoffMaxMs, limits.random);
  const settler = settle(() => listener.snapshot(table.snapshot()), limits.quietMs, limits.maxQuietMs);
  /** Where the next watch goes on; null: only a list can help. */
  let version: string | null = null;
  let hasList = false;
  /** Answers in a row by which the server refused to go on from `version`. */
  let refusals = 0;
  /** The last thing heard was a 410. */
  let wasGone = false;
  let lastStepMs = performance.now();

  const list = async (): Promise<void> => {
    const bounds = { ...limits, silenceTimeoutMs: limits.listSilenceMs };
    const { resourceVersion, isChanged, nameless } = await listNodes(connection, table, bounds, signal);
    version = resourceVersion;
    listener.count(hasList ? "relist" : "list");
    for (let left = nameless; left > 0; left--) listener.count("malformed");
    own(table.own());
    // Else a change that a watch brought just before may still be due.
    if (isChanged || !hasList) {
      settler.cancel();
      listener.snapshot(table.snapshot());
    }
    hasList = true;
    listener.state(null);
  };

  const take = (name: string, line: string): void => {
    const step = takeLine(line, table);
    if (step.kind !== "error") {
      refusals = 0;
      wasGone = false;
    }
    switch (step.kind) {
      case "change":
        listener.count(step.outcome);
        version = step.resourceVersion ?? version;
        own(table.own());
        if (step.outcome !== "irrelevant") settler.touch();
        return;
      case "bookmark":
        listener.count("bookmark");
        version = step.resourceVersion ?? version;
        return;
      case "error":
        throw new ApiFault(`${name}: the watch was ended: ${step.code} ${step.message}`, step.code, null);
      case "malformed":
        listener.count("malformed");
        // What the line meant to say is lost: only a list can tell.
        version = null;
        throw new ApiFault(`${name}: a line of the watch is malformed: ${step.message}`, null, null);
    }
  };

  const watch = async (resourceVersion: string): Promise<void> => {
    const seconds = Math.floor(limits.watchSeconds * (1 + limits.random()));
    const query = {
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion,
      timeoutSeconds: `${seconds}`,
    };
    const silenceTimeoutMs = seconds * 1000 + limits.watchGraceMs;
    const { headersTimeoutMs } = limits;
    const answer = await ask(
      connection,
      { method: "GET", path: NODES_PATH, query, headersTimeoutMs, silenceTimeoutMs },
      signal,
    );
    listener.count("watch");
    const startedMs = performance.now();
    const steady = setTimeout(() => listener.state(null), limits.steadyMs);
    const splitter = splitLines((line) => take(answer.name, line));
    try {
      await answer.read((chunk) => {
        lastStepMs = performance.now();
        splitter.push(chunk);
      });
    } finally {
      clearTimeout(steady);
      if (performance.now() - startedMs >= limits.steadyMs) {
        backoff.reset();
        wasGone = false;
      }
    }
    if (splitter.pendingBytes() > 0)
      throw new ApiFault(`${answer.name}: the watch was cut in a line`, null, null);
    listener.state(null);
    // The server's timeout ends a watch in order; one that ends at once, again and again, must not keep us busy.
    if (performance.now() - startedMs < limits.steadyMs) await pause(backoff.next(), signal);
  };

  const fail = async (error: unknown): Promise<void> => {
    const status = error instanceof ApiFault ? error.status : null;
    if (status !== null && version !== null) refusals++;
    if (status === GONE || refusals >= MAX_REFUSALS) version = null;
    if (version === null) refusals = 0;
    // Without an answer the address or the CA may be others by now.
    if (status === 401 || status === null) connection.renew();
    // A 410 is in the nature of things (a compacted etcd); only one after another is a fault.
    if (status !== GONE || wasGone) listener.state(lineOf(error, connection));
    wasGone = status === GONE;
    listener.count("error");
    const asked = error instanceof ApiFault ? (error.retryAfterMs ?? 0) : 0;
    await pause(asked + backoff.next(), signal);
  };

  const run = async (): Promise<void> => {
    await pause(limits.random() * limits.startJitterMs, signal);
    for (;;) {
      lastStepMs = performance.now();
      try {
        if (version === null) await list();
        else await watch(version);
      } catch (error) {
        if (signal.aborted) throw error;
        await fail(error);
      }
    }
  };

  // The longest that the loop may be at one thing: all its waits are bounded, so more than this is a fault of ours.
  const patienceMs = 2000 * limits.watchSeconds + limits.watchGraceMs + MAX_PAUSE_MS;
  const beat = setInterval(() => {
    if (performance.now() - lastStepMs < patienceMs) listener.beat();
  }, limits.beatMs);
  listener.beat();
  run().catch((error: unknown) => {
    if (!signal.aborted) listener.state(`the Node source has ended: ${lineOf(error, connection)}`);
    clearInterval(beat);
  });
  return {
    close: () => {
      settler.cancel();
      clearInterval(beat);
      abort();
    },
  };
}

function openAbort() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error("the source was closed")) };
}
