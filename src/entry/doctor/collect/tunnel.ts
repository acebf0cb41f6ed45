import type { Tunnel } from "../../../doctor/sections/tunnel.ts";
import { askRefusal } from "../../../host/probe.ts";
import { observeUdpPort } from "../../../host/udp-port.ts";
import { type Address, formatAddress } from "../../../net/address.ts";
import { hashHex } from "../../../net/hash.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import { formatStep } from "../../../plan/format.ts";
import type { ObservedLink } from "../../../plan/state.ts";
import type { Plan } from "../../../plan/step.ts";
import { tunnelAddress } from "../../../topology/endpoint.ts";
import type { Path } from "../../../topology/path.ts";
import { planTunnel, TUNNEL_NAMES, type TunnelDevice, tunnelConflict } from "../../../topology/tunnel.ts";
import { planTunnelPeers } from "../../../topology/tunnel-peers.ts";
import { findPublished } from "../../node.ts";
import type { DoctorContext } from "./context.ts";
import { type NetworkView, sample, textOf, viewNetwork } from "./network-view.ts";

/** Commands that are kept of each kind; thousands of peers would fill a book. */
const MOST_COMMANDS = 12;
const MOST_PEERS = 3;
/** Three tries of it for a silent peer. */
const ANSWER_MS = 200;
const RATE_LIMIT_MS = 1_050;
/** Small: its checksum is left to the device. The large one is as long as the MTU, so that its headers make it too long. */
const SMALL_BYTES = 32;

/** The tunnel devices, what they know, who else wants their port, and whether packets come through. */
export async function collectTunnel(context: DoctorContext): Promise<Tunnel> {
  const view = viewNetwork(context);
  const { host, settings } = context;
  const hasAgent = context.agent !== null || findPublished(settings.stateDir, host) !== null;
  const names: readonly string[] = Object.values(TUNNEL_NAMES);
  const others = view.seen.links.filter(({ name, vxlan }) => vxlan !== null && !names.includes(name));
  return {
    backend: view.backend,
    hasAgent,
    isLive: context.cluster.isLive,
    devices: view.devices.map((device) => describeDevice(device, view, context)),
    others: others.map(({ name, up, vxlan }) => ({ name, isUp: up, ...describeVxlan(vxlan) })),
    sockets: observeUdpPort(view.tunnel.port).map(({ family, holder }) => ({
      family,
      program: holder === null ? null : `${holder.name} (pid ${holder.pid})`,
    })),
    probes: settings.mayProbe && hasAgent ? await probe(view, context) : [],
  };
}

function describeVxlan(vxlan: ObservedLink["vxlan"]) {
  return { vni: vxlan?.vni ?? 0, port: vxlan?.port ?? 0, local: textOf(vxlan?.local ?? null) };
}

function describeDevice(
  device: TunnelDevice,
  { seen }: NetworkView,
  { host }: DoctorContext,
): Tunnel["devices"][number] {
  const { name, vni, port, local, mac, mtu } = device.link;
  const observed = seen.tunnel(name);
  const conflict = tunnelConflict(device, observed);
  const isUsable = observed !== null && conflict === null;
  const known = { forwarding: seen.forwarding(name), neighbours: seen.neighbours(name) };
  const { additions, deletions } = planTunnelPeers(device, isUsable ? known : NOTHING);
  return {
    name,
    family: device.underlay,
    peers: device.peers.length,
    desired: { vni, port, local: formatAddress(local), mac, mtu },
    observed:
      observed === null
        ? null
        : {
            kind: observed.link.kind,
            isUp: observed.link.up,
            mac: observed.link.mac,
            mtu: observed.link.mtu,
            vxlan: observed.link.vxlan === null ? null : describeVxlan(observed.link.vxlan),
            addresses: observed.addresses.map(({ prefix }) => formatPrefix(prefix)),
            txChecksum: host.txChecksum(name),
          },
    conflict,
    steps: describePlan(conflict === null ? planTunnel(device, observed) : []),
    forwarding: describePlan(additions.forwarding),
    neighbours: describePlan(additions.neighbours),
    stale: describePlan([...deletions.forwarding, ...deletions.neighbours]),
  };
}

const NOTHING = { forwarding: [], neighbours: [] };

function describePlan(plan: Plan) {
  return { count: plan.length, commands: plan.slice(0, MOST_COMMANDS).map(formatStep) };
}

type TunnelPath = Extract<Path, { kind: "tunnel" }>;

/** Up to three peers of each device, all at once. */
async function probe(view: NetworkView, { host }: DoctorContext): Promise<Tunnel["probes"]> {
  const seed = Number.parseInt(hashHex(view.self.name).slice(0, 8), 16);
  const chosen = view.devices.flatMap((device) => {
    const { index } = view.seen.links.find(({ name }) => name === device.link.name) ?? { index: -1 };
    const behind = view.paths.filter((path): path is TunnelPath => {
      return path.kind === "tunnel" && path.underlay === device.underlay;
    });
    // Where another route takes the packet, its loss says nothing about the tunnel.
    const some = sample(behind, MOST_PEERS, seed);
    const routes = host.lookupRoutes(some.map(({ dst }) => tunnelAddress(dst)));
    return some
      .filter((_, place) => routes[place]?.ifindex === index)
      .map(({ peer, dst, remote }) => ({ device, peer: peer.name, remote, inner: tunnelAddress(dst) }));
  });
  const asks = (address: Address, bytes: number) => askRefusal({ address, bytes, timeoutMs: ANSWER_MS });
  return Promise.all(
    chosen.map(async ({ device, peer, remote, inner }) => {
      const small = () => asks(inner, SMALL_BYTES);
      const large = () => asks(inner, device.link.mtu);
      let [node = false, tunnel = false, software = false] = await Promise.all([
        asks(remote, SMALL_BYTES),
        small(),
        large(),
      ]);
      if (node && !tunnel) {
        // A machine says "port unreachable" to one address once a second only (icmp_ratelimit of ip-sysctl.rst).
        await Bun.sleep(RATE_LIMIT_MS);
        tunnel = await small();
        software ||= !tunnel && (await large());
      }
      return {
        peer,
        dev: device.link.name,
        nodeAddress: formatAddress(remote),
        tunnelAddress: formatAddress(inner),
        node,
        tunnel,
        software,
      };
    }),
  );
}
