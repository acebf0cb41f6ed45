import * as v from "valibot";
import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import type { Family } from "../../../net/address.ts";
import type { NetnsPath } from "../../../plan/step.ts";
import { LAB_DEVICE, labNetns, netnsPath } from "../../../topology/lab.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import { labDown } from "../../lab/down.ts";
import { withLabLock } from "../../lab/exclusive.ts";
import { requireLab } from "../../lab/state.ts";
import { labUp, refuseSecondLab } from "../../lab/up.ts";
import type { PathBackend } from "../backends.ts";
import type { Context } from "../context.ts";
import type { Sizes } from "./plain.ts";
import type { NetworkPath } from "./turn.ts";

/** A lab of ours that stands. */
export interface OurNetwork {
  readonly sizes: Sizes;
  /** From the first pod of the first node to its second one, or to the other node's first. */
  path(isSameNode: boolean): NetworkPath;
}

const NODES = ["node1", "node2"] as const;
/** Bridge of the pods (topology/conflist.ts). */
const BRIDGE = "minicni0";
const LinksSchema = v.array(v.looseObject({ ifname: v.string(), mtu: v.number() }));

/** Runs `work` while nobody else changes the lab. Throws HostError when there is one, or somebody does. */
export async function withFreeLab(host: Host, work: () => Promise<void>): Promise<void> {
  await withLabLock("bench network", host, async () => {
    // Before labUp does it as well: behind it whatever lab there is would be taken for ours, and removed.
    refuseSecondLab(host);
    await work();
  });
}

/** Runs `work` in a lab of two nodes with two pods each, of one family; it is removed whatever happens. */
export async function withOurNetwork<T>(
  backend: PathBackend,
  family: Family,
  { host, cleaner, self }: Pick<Context, "host" | "cleaner" | "self">,
  work: (network: OurNetwork) => Promise<T>,
): Promise<T> {
  const wish = { nodes: NODES.length, subnets: 1, pods: 2, backend, families: [family], mtu: null };
  const silent = () => {};
  try {
    await labUp(wish, self, host, silent);
    return await work({ sizes: await readSizes(backend, family, host), path: findPath(family, host) });
  } finally {
    await labDown(self, cleaner, silent);
  }
}

function findPath(family: Family, host: Host): OurNetwork["path"] {
  const { pods } = requireLab(host);
  const find = (node: string, name: string) => pods.find((pod) => pod.node === node && pod.name === name);
  return (isSameNode) => {
    const [from, to] = [find(NODES[0], "pod1"), isSameNode ? find(NODES[0], "pod2") : find(NODES[1], "pod1")];
    const address = to?.addresses[0];
    if (from === undefined || to === undefined || address === undefined)
      throw new HostError("the lab has not the pods it should have", "this is a fault of minicni");
    return { from: from.netns, to: to.netns, address, family };
  };
}

async function readSizes(backend: PathBackend, family: Family, host: Host): Promise<Sizes> {
  const node = netnsPath(labNetns(NODES[0]));
  const pod = await readMtus(netnsPath(labNetns(NODES[0], "pod1")), host);
  const mtus = await readMtus(node, host);
  const need = (name: string, found: ReadonlyMap<string, number>) => {
    const mtu = found.get(name);
    if (mtu === undefined) throw new HostError(`the lab has no link ${name}`, "this is a fault of minicni");
    return mtu;
  };
  return {
    pod: need(LAB_DEVICE, pod),
    bridge: need(BRIDGE, mtus),
    underlay: need(LAB_DEVICE, mtus),
    tunnel: backend === "vxlan" ? need(TUNNEL_NAMES[family], mtus) : null,
  };
}

/** MTU of each link of a namespace, in bytes, as `ip -json link` tells them. */
async function readMtus(netns: NetnsPath, host: Host): Promise<ReadonlyMap<string, number>> {
  const { exitCode, stdout, stderr } = await host.spawn({ argv: ["ip", "-json", "link"], netns });
  if (exitCode !== 0) throw new HostError(`ip link failed: ${stderr.trim()}`, "is it iproute2's?");
  const links = v.parse(LinksSchema, JSON.parse(stdout));
  return new Map(links.map(({ ifname, mtu }) => [ifname, mtu]));
}
