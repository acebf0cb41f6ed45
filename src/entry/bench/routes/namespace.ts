import type { Host } from "../../../host/machine.ts";
import type { Family } from "../../../net/address.ts";
import { HOST, type NetnsPath, type Operation, type Step } from "../../../plan/step.ts";
import { nodePrefix } from "./cluster.ts";

/** The node's link to the node network, and the other end, where nobody listens. */
const UPLINK = "eth0";
const FAR_END = "uplink";

/**
 * Runs `work` in a machine that has a network namespace for it, which looks like a node's: a veth as the uplink with the
 * addresses of a benchmark cluster's first node. It is removed whatever happens, also when we are ended by a signal.
 */
export async function withNodeNamespace<T>(
  families: readonly Family[],
  host: Host,
  work: (netns: NetnsPath) => Promise<T>,
): Promise<T> {
  const name = `mbench-${process.pid}`;
  const netns = `/run/netns/${name}`;
  const step = (operation: Operation, where: NetnsPath = netns): Step => ({
    ...operation,
    netns: where,
    why: "a node of its own for the benchmark",
  });
  const remove = () => host.execute([step({ op: "netns.del", name }, HOST)]);
  const end = () => void remove().finally(() => process.exit(130));
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  await host.execute([step({ op: "netns.add", name }, HOST)]);
  try {
    await host.execute([
      step({ op: "link.set", name: "lo", set: { up: true } }),
      step({ op: "link.add", link: { kind: "veth", name: UPLINK, peer: { name: FAR_END, netns: HOST } } }),
      step({ op: "link.set", name: UPLINK, set: { up: true } }),
      step({ op: "link.set", name: FAR_END, set: { up: true } }),
      ...families.map((family) =>
        step({ op: "addr.replace", dev: UPLINK, prefix: nodePrefix(family, 1), nodad: true }),
      ),
    ]);
    return await work(netns);
  } finally {
    process.off("SIGINT", end);
    process.off("SIGTERM", end);
    await remove();
  }
}
