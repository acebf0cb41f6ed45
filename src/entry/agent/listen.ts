import { HostError } from "../../host/errors.ts";
import { PLAIN_TEXT, parseListen, serveHttp } from "../../host/serve.ts";
import type { Reporter } from "./reporter.ts";
import type { Voices } from "./tell.ts";

/** The agent's report (report.ts) as JSON; the brief one names of the peers only those with a fault. */
export const REPORT_PAGE = "/status.json";
export const BRIEF_REPORT_PAGE = "/status-brief.json";

/** The health pages, metrics and the report. Without its port the agent does its work all the same, and tries again. */
export function openPages(
  listen: string,
  { health, metrics, journal }: Voices,
  reporter: Pick<Reporter, "text"> | null = null,
): { retry(): void; close(): void } {
  const address = parseListen(listen);
  if (address === "off" || address === null) return { retry: () => undefined, close: () => undefined };
  let server: { readonly port: number; close(): void } | null = null;
  const page = async (path: string) => {
    if (path === "/metrics") {
      const { type, body } = await metrics.text();
      return { status: 200, type, body };
    }
    if (reporter !== null && (path === REPORT_PAGE || path === BRIEF_REPORT_PAGE)) {
      return { status: 200, type: "application/json", body: reporter.text(path === BRIEF_REPORT_PAGE) };
    }
    if (path !== "/healthz" && path !== "/readyz") return null;
    const { ok, text } = path === "/healthz" ? health.healthz() : health.readyz();
    return { status: ok ? 200 : 503, type: PLAIN_TEXT, body: text };
  };
  const open = () => {
    if (server !== null) return;
    try {
      server = serveHttp(address, page);
      journal.state("listen", null);
      journal.info("listening", { address: listen, port: server.port });
    } catch (error) {
      journal.state("listen", error instanceof HostError ? `${error.message}: ${error.hint}` : String(error));
    }
  };
  open();
  return { retry: open, close: () => server?.close() };
}
