import { waitFor } from "../kernel/agent.ts";
import type { ClusterPod } from "./cluster-pod.ts";

const STOP = "/tmp/stop";
const STOPPED = "/tmp/stopped";

/** One question after the other; who got no answer, or one in the name of another, is counted. */
const EXCHANGES = `good=0; bad=0
while [ ! -e ${STOP} ]; do
  got=$(printf 'GET /cgi-bin/peer HTTP/1.0\\r\\n\\r\\n' | nc -w 5 "$0" 80)
  case "$got" in *"$1"*) good=$((good+1));; *) bad=$((bad+1)); echo "$got" >>/tmp/bad;; esac
  echo "$good $bad" >/tmp/count.new; mv /tmp/count.new /tmp/count
  sleep 0.03
done
echo >${STOPPED}`;

/** One connection that numbers are sent on and come back from; it is held open until the last of them has come. */
const STREAM = `(i=0; while [ ! -e ${STOP} ]; do echo $i; i=$((i+1)); sleep 0.03; done; echo end
while [ -e ${STOP} ]; do sleep 0.03; done) |
nc "$0" 7 >/tmp/stream`;

/** How many exchanges went well, and how many did not. */
export interface Exchanges {
  readonly good: number;
  readonly bad: number;
}

/** Lets one pod talk to another, by many short connections and a long one, until {@link stopTraffic}. */
export async function startTraffic(client: ClusterPod, server: ClusterPod, index: 0 | 1): Promise<void> {
  const address = server.ips[index] ?? "";
  const own = client.ips[index] ?? "";
  for (const script of [EXCHANGES, STREAM]) {
    // ExecSync ends when nobody holds its output any more.
    const started = await client.exec(
      "sh",
      "-c",
      `sh -c "$0" "$@" </dev/null >/dev/null 2>&1 &`,
      script,
      address,
      own,
    );
    if (started.exitCode !== 0) throw new Error(`no traffic: ${started.stderr}`);
  }
}

/** Exchanges so far. */
export async function countExchanges(client: ClusterPod): Promise<Exchanges> {
  const { stdout } = await client.exec("cat", "/tmp/count");
  const [good = 0, bad = 0] = stdout.trim().split(" ").map(Number);
  return { good, bad };
}

/** Ends it; returns the exchanges, what failed ones said, and what came back on the long connection. */
export async function stopTraffic(client: ClusterPod) {
  await client.exec("sh", "-c", `echo >${STOP}`);
  const hasStopped = async () => (await client.exec("cat", STOPPED)).exitCode === 0;
  await waitFor("the last exchange is over", hasStopped);
  const { stdout: failures } = await client.exec("sh", "-c", "[ ! -e /tmp/bad ] || cat /tmp/bad");
  let stream = "";
  const hasEnded = async () => {
    stream = (await client.exec("cat", "/tmp/stream")).stdout;
    return stream.endsWith("end\n");
  };
  const explain = () => `the long connection: ${stream.slice(-100)}\nfailed exchanges: ${failures}`;
  await waitFor("the end comes back on the long connection", hasEnded, explain);
  await client.exec("sh", "-c", `rm ${STOP}`);
  return { ...(await countExchanges(client)), failures, stream: stream.trim().split("\n") };
}
