import { ask } from "../../../host/ask-http.ts";
import { parseListen } from "../../../host/serve.ts";
import { type Address, formatAddress, isLoopback } from "../../../net/address.ts";
import type { ClusterNode } from "../../../net/node.ts";
import { BRIEF_REPORT_PAGE } from "../../agent/listen.ts";
import { parseReport, type ReadReport } from "../../agent/report.ts";

/** What one agent may take to answer, and how many are asked at once. */
const ANSWER_MS = 2_000;
const AT_ONCE = 16;
/** What all of them may take: of a cluster that is down nobody waits for each. */
const ALL_MS = 60_000;
/** A brief report names those peers alone that something is wrong with; a longer answer is something else. */
const MOST_BYTES = 4 << 20;

/** Whether agents of other nodes can be asked, by which port; else why not, and how they could be. */
export type AskingPort =
  | { readonly port: number; readonly why: null }
  | { readonly port: null; readonly why: string };

/** `given`: of the command line; `listen`: where our own agent listens, since theirs have the same settings; null: not known. */
export function chooseAskingPort(given: number | null, listen: string | null): AskingPort {
  if (given !== null) return { port: given, why: null };
  const open =
    "set MINICNI_LISTEN=:9157 in the ConfigMap minicni and restart the DaemonSet, then they answer on every address of the node";
  if (listen === null) {
    return {
      port: null,
      why: "where agents listen is not known without one here; name their port: --port 9157",
    };
  }
  const address = parseListen(listen);
  if (address === null || address === "off") return { port: null, why: `agents listen nowhere: ${open}` };
  if (address.host !== null && isLoopback(address.host)) {
    return { port: null, why: `agents listen on ${listen}, which other nodes can't reach: ${open}` };
  }
  return { port: address.port, why: null };
}

/** Asks the agent of each node, a bounded number at once, in bounded time; by name. Never throws. */
export async function askAgents(
  nodes: readonly ClusterNode[],
  port: number,
  tell: (done: number) => void,
): Promise<Map<string, ReadReport>> {
  const answers = new Map<string, ReadReport>();
  const end = performance.now() + ALL_MS;
  const queue = nodes.values();
  const run = async () => {
    for (const { name, addresses } of queue) {
      const isLate = performance.now() > end;
      answers.set(name, isLate ? { report: null, fault: NO_TIME } : await askAgent(addresses, port));
      tell(answers.size);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, run));
  return answers;
}

const NO_TIME = `not asked: the others took ${ALL_MS / 1000} s`;

/** The first address that answers; all of them together in the time of one. */
async function askAgent(addresses: readonly Address[], port: number): Promise<ReadReport> {
  const timeoutMs = ANSWER_MS / addresses.length;
  const faults: string[] = [];
  for (const address of addresses) {
    const hostname = formatAddress(address);
    const place = address.family === 6 ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    const question = { hostname, port, path: BRIEF_REPORT_PAGE, timeoutMs, mostBytes: MOST_BYTES };
    const { answer, fault } = await ask(question);
    if (answer?.status === 200) return parseReport(answer.body, `what ${place} answers`);
    faults.push(`${place} ${fault ?? `answers ${answer?.status}: no agent of this version`}`);
  }
  return { report: null, fault: faults.length === 0 ? "it has no InternalIP" : faults.join("; ") };
}
