import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

export const CHROMIUM = "/usr/bin/chromium";

/** How a page is looked at. `size`: of the window in CSS pixels. */
export interface LookOptions {
  readonly netns?: string;
  readonly size?: readonly [width: number, height: number];
  readonly isDark?: boolean;
  /** Milliseconds that the page believes to pass before it is taken. */
  readonly budgetMs?: number;
  /** JSON of all that was asked of the network is written there. */
  readonly netLog?: string;
}

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--hide-scrollbars",
  // Nothing leaves the machine, whatever a page or the browser itself asks for.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];
const PATIENCE_MS = 60_000;

async function chromium(url: string, output: readonly string[], options: LookOptions): Promise<string> {
  const { netns, size: [width, height] = [1280, 1000], isDark = false, budgetMs = 6_000, netLog } = options;
  const profile = mkdtempSync(`${tmpdir()}/mtest-chromium-`);
  const enter = netns === undefined ? [] : ["/usr/bin/nsenter", `--net=${netns}`];
  const dark = isDark
    ? ["--blink-settings=preferredColorScheme=0"]
    : ["--blink-settings=preferredColorScheme=1"];
  const own = [`--user-data-dir=${profile}`, `--window-size=${width},${height}`];
  const log = netLog === undefined ? [] : [`--log-net-log=${netLog}`];
  const budget = [`--virtual-time-budget=${budgetMs}`];
  const child = Bun.spawn({
    cmd: [...enter, CHROMIUM, ...FLAGS, ...dark, ...own, ...log, ...budget, ...output, url],
    env: { PATH: process.env.PATH, HOME: profile, LANG: "C.UTF-8" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  try {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    const exitCode = await child.exited;
    if (exitCode !== 0) throw new Error(`chromium: exit ${exitCode}, ${child.signalCode}: ${stderr}`);
    return stdout;
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
}

/** A browser that stays, with a profile of its own that `end` removes. */
export function startChromium(args: readonly string[]): { profile: string; end(): Promise<void> } {
  const profile = mkdtempSync(`${tmpdir()}/mtest-chromium-`);
  const child = Bun.spawn({
    cmd: [CHROMIUM, ...FLAGS, `--user-data-dir=${profile}`, ...args],
    env: { PATH: process.env.PATH, HOME: profile, LANG: "C.UTF-8" },
    stdio: ["ignore", "ignore", "ignore"],
  });
  return {
    profile,
    end: async () => {
      child.kill();
      await child.exited;
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

/** The document as it stands after a while, as HTML. */
export function dumpDom(url: string, options: LookOptions = {}): Promise<string> {
  return chromium(url, ["--dump-dom"], options);
}

/** A picture of the page, as PNG into a file. */
export async function takePicture(url: string, path: string, options: LookOptions = {}): Promise<void> {
  await chromium(url, [`--screenshot=${path}`], options);
}

/** Hosts with ports that a page asked for something, by the browser's own log; not what the browser wants for itself. */
export function hostsAsked(netLog: string, page: string): string[] {
  const { constants, events } = JSON.parse(readFileSync(netLog, "utf8"));
  const hosts = new Set<string>();
  for (const { type, params } of events) {
    if (type !== constants.logEventTypes.URL_REQUEST_START_JOB) continue;
    const isOfPage = params?.initiator === new URL(page).origin || params?.url === page;
    if (isOfPage && !params.url.startsWith("data:")) hosts.add(new URL(params.url).host);
  }
  return [...hosts].sort();
}
