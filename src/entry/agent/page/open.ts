import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { parseListen, serveHttp } from "../../../host/serve.ts";
import { readRuntimeCache } from "../../admin/ipam/runtime-cache.ts";
import type { Reporter } from "../reporter.ts";
import type { AgentSettings } from "../settings.ts";
import type { Voices } from "../tell.ts";
import { answerPage } from "./answer.ts";
import { describePool } from "./pool.ts";

/** However many look at the page: addresses are looked at once in this time. */
const POOL_AGE_MS = 1_500;
/** Names of pods: some runtimes leave thousands of files, and a pod never changes its name. */
const NAMES_AGE_MS = 15_000;
/** Where libcni keeps the results of ADDs, whatever runtime uses it. */
const RUNTIME_CACHE = "/var/lib/cni";
/** A look at the addresses reads files alone. */
const LOOK_MS = 3_000;

/** What the page is made of. */
export interface PageParts {
  readonly reporter: Pick<Reporter, "text">;
  readonly journal: Voices["journal"];
  /** The machine for so many milliseconds. */
  readonly openHost: (timeoutMs: number) => Host;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * The page for people, at `settings.page`. Without its port the agent does its work all the same, and tries again at
 * `retry`.
 */
export function openPage(
  settings: Pick<AgentSettings, "page" | "stateDir" | "confDir">,
  { reporter, journal, openHost, now }: PageParts,
): { retry(): void; close(): void } {
  const address = parseListen(settings.page);
  if (address === "off" || address === null) return { retry: () => undefined, close: () => undefined };
  const names = keep(NAMES_AGE_MS, now, () => readRuntimeCache(RUNTIME_CACHE, openHost(LOOK_MS))?.adds ?? []);
  const pool = keep(POOL_AGE_MS, now, () =>
    JSON.stringify(describePool(settings, names(), openHost(LOOK_MS))),
  );
  const answer = answerPage(address, { status: () => reporter.text(false), pool });
  let server: { readonly port: number; close(): void } | null = null;
  const open = () => {
    if (server !== null) return;
    try {
      server = serveHttp(address, answer);
      journal.state("page", null);
      journal.info("page", { address: settings.page, port: server.port });
    } catch (error) {
      journal.state("page", error instanceof HostError ? `${error.message}: ${error.hint}` : String(error));
    }
  };
  open();
  return { retry: open, close: () => server?.close() };
}

/** The same again for so many milliseconds, then a new one. */
function keep<T>(ageMs: number, now: () => number, make: () => T): () => T {
  let kept: { readonly atMs: number; readonly value: T } | null = null;
  return () => {
    if (kept === null || now() - kept.atMs >= ageMs) kept = { atMs: now(), value: make() };
    return kept.value;
  };
}
