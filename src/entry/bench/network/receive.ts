import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { inParallel } from "../../lab/parallel.ts";
import {
  type IperfRequest,
  iperfReceiverArgv,
  iperfSenderArgv,
  parseIperf,
  parseReceived,
  type Received,
} from "./iperf.ts";
import type { StreamWish } from "./limited.ts";
import { congestionOf, LISTEN_MS, type NetworkPath, PORTS, RETRY_MS } from "./turn.ts";

/** For the start and the end of a child, beyond what it measures, in milliseconds. */
const SPARE_MS = 20_000;

/**
 * What one TCP stream brings through a limit, as its receiver counts it. The sender's word is not asked for: what it has
 * handed to the kernel may be in a queue. Throws HostError when nothing came through.
 */
export async function receive(path: NetworkPath, wish: StreamWish, host: Host): Promise<Received> {
  const { seconds, settleS, piece } = wish;
  const { from, to, address, family } = path;
  const request: IperfRequest = {
    ...{ address, family, port: PORTS.iperf, seconds },
    processor: null,
    congestion: congestionOf(host),
  };
  const timeoutMs = seconds * 1000 + SPARE_MS;
  const server = async () =>
    (await host.spawn({ argv: iperfReceiverArgv(request), netns: to, timeoutMs })).stdout;
  const client = async () => {
    const end = performance.now() + LISTEN_MS;
    for (;;) {
      await host.sleep(RETRY_MS);
      const { stdout } = await host.spawn({ argv: iperfSenderArgv(request, piece), netns: from, timeoutMs });
      if (!isRefused(stdout) || performance.now() > end) return stdout;
    }
  };
  const [received = "", sent = ""] = await inParallel([server, client], 2, (work) => work());
  const found = parseReceived(received, seconds, settleS);
  if (found !== null) return found;
  const words = (sent || received).replace(/\s+/g, " ").trim().slice(-200);
  throw new HostError(
    `nothing came through a limit: ${words || "no message"}`,
    "see the queues: tc -s qdisc",
  );
}

/** Whether a sender came before its receiver listened; what else it has to say is not of interest. */
function isRefused(text: string): boolean {
  try {
    return parseIperf(text) === null;
  } catch {
    return false;
  }
}
