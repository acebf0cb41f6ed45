import type { Family } from "../../../net/address.ts";
import { HOST, type NetnsPath, type Operation, type Step } from "../../../plan/step.ts";
import type { Context } from "../context.ts";
import { type Scratch, withScratch } from "../scratch.ts";
import { nodePrefix } from "./cluster.ts";

/** The node's link to the node network, and the other end, where nobody listens. */
const UPLINK = "eth0";
const FAR_END = "uplink";

/**
 * Runs `work` with a network namespace that looks like a node's: a veth as the uplink with the addresses of a benchmark
 * cluster's first node. It is removed whatever happens. Needs root.
 */
export async function withNode<T>(
  context: Pick<Context, "host" | "cleaner">,
  families: readonly Family[],
  work: (netns: NetnsPath, scratch: Scratch) => Promise<T>,
): Promise<T> {
  return await withScratch(context, async (scratch) => {
    const [netns = HOST] = await scratch.addNamespaces(["node"]);
    const step = (operation: Operation): Step => ({
      ...operation,
      netns,
      why: "a node of its own for the benchmark",
    });
    await context.host.execute([
      step({ op: "link.set", name: "lo", set: { up: true } }),
      step({ op: "link.add", link: { kind: "veth", name: UPLINK, peer: { name: FAR_END, netns: HOST } } }),
      step({ op: "link.set", name: UPLINK, set: { up: true } }),
      step({ op: "link.set", name: FAR_END, set: { up: true } }),
      ...families.map((family) =>
        step({ op: "addr.replace", dev: UPLINK, prefix: nodePrefix(family, 1), nodad: true }),
      ),
    ]);
    return await work(netns, scratch);
  });
}
