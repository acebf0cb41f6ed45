import * as v from "valibot";
import { DEFAULT_BRIDGE } from "../../../cni/config.ts";
import { parseJson } from "../../../host/json.ts";
import { type Family, formatAddress } from "../../../net/address.ts";
import { isPodLinkName } from "../../../net/ifname.ts";
import type { ClusterNode, NodeSnapshot } from "../../../net/node.ts";
import { BACKENDS, type Backend, type Path } from "../../../topology/path.ts";
import { TUNNEL_NAMES, type TunnelDevice, type TunnelSettings } from "../../../topology/tunnel.ts";
import { createDerived } from "../../agent/derived.ts";
import { createLookups } from "../../agent/lookups.ts";
import { ETHERNET_MTU } from "../../agent/mtu.ts";
import { knownNetworks } from "../../agent/networks.ts";
import { type Observation, observe } from "../../agent/observation.ts";
import { observeUnderlay, type Underlay } from "../../agent/underlay.ts";
import { nodePath } from "../../node.ts";
import { type DoctorContext, Unseen } from "./context.ts";

/** The node's network as its agent would see it, and what it would want. */
export interface NetworkView {
  readonly snapshot: NodeSnapshot;
  readonly self: ClusterNode;
  readonly seen: Observation;
  readonly underlay: Underlay;
  readonly paths: readonly Path[];
  /** Also those of a node whose agent makes none: with backend host-gw they are not wanted. */
  readonly devices: readonly TunnelDevice[];
  readonly backend: Backend;
  readonly tunnel: TunnelSettings;
}

/** What an agent has as long as nobody chose otherwise (entry/agent/settings.ts); `mtu` 0: it detects. */
const DEFAULTS = { backend: "auto", vni: 157, vxlanPort: 8472, mtu: 0 } as const;

/**
 * The settings of this node's agent, as far as they make a difference to links. Of one that tells nothing of itself: what
 * it published and made, so that a choice that is not known here is no fault.
 */
export function linkSettings({ agent, host, settings }: DoctorContext) {
  if (agent !== null) {
    const { backend, vni, vxlanPort, mtu } = agent.settings;
    return { backend, tunnel: { vni, port: vxlanPort }, mtu };
  }
  const found = v.safeParse(
    v.object({ backend: v.picklist(BACKENDS) }),
    parseJson(host.readFile(nodePath(settings.stateDir)) ?? ""),
  );
  const made = host
    .links()
    .find(({ name, vxlan }) => vxlan !== null && Object.values(TUNNEL_NAMES).includes(name));
  const { vni, port } = made?.vxlan ?? { vni: DEFAULTS.vni, port: DEFAULTS.vxlanPort };
  return {
    backend: found.success ? found.output.backend : DEFAULTS.backend,
    tunnel: { vni, port },
    mtu: DEFAULTS.mtu,
  };
}

/** All Nodes. Throws Unseen without a list. */
export function nodesOf({ cluster }: DoctorContext): NodeSnapshot {
  if (cluster.snapshot !== null) return cluster.snapshot;
  throw new Unseen(
    `no list of Nodes: ${cluster.fault ?? "no source is known"} (name one by --nodes or --kubeconfig)`,
  );
}

/** Why the own Node is of no use; else the Node. */
export function findOwnNode(context: DoctorContext, snapshot: NodeSnapshot): ClusterNode | string {
  if (context.node === null) return "the name of this Node is not known (give it by --node)";
  const fault = snapshot.faults.find(({ node }) => node === context.node);
  const self = snapshot.nodes.find(({ name }) => name === context.node);
  if (self !== undefined) return self;
  if (fault !== undefined) return `this Node ${context.node} is left out by every agent: it ${fault.message}`;
  return `this Node ${context.node} is not in the list of Nodes (${context.cluster.source ?? "?"})`;
}

const views = new WeakMap<DoctorContext, NetworkView>();

/** The node's network, looked at once for all sections of a run. Throws Unseen without the own Node. */
export function viewNetwork(context: DoctorContext): NetworkView {
  const known = views.get(context);
  if (known !== undefined) return known;
  const { host } = context;
  const snapshot = nodesOf(context);
  const self = findOwnNode(context, snapshot);
  if (typeof self === "string") throw new Unseen(self);
  const { backend, tunnel } = linkSettings(context);
  const seen = observe(host);
  const underlay = observeUnderlay(self, seen.links, host);
  const reach = createLookups(host, () => 0).of(snapshot.nodes, seen.routes, seen.links);
  const derived = createDerived(backend);
  const paths = derived.paths(snapshot, self, reach);
  const underlayMtu = (family: Family) => underlay.links.get(family)?.mtu ?? ETHERNET_MTU;
  const devices = backend === "host-gw" ? [] : derived.tunnels(self, paths, tunnel, underlayMtu);
  const view = { snapshot, self, seen, underlay, paths: paths.paths, devices, backend, tunnel };
  views.set(context, view);
  return view;
}

/** The bridges of our networks, by their configurations and the agent's default. Never throws. */
export function ownBridges({ host, settings }: DoctorContext): ReadonlySet<string> {
  try {
    const { networks } = knownNetworks(host, settings);
    return new Set([DEFAULT_BRIDGE, ...networks.map(({ conf }) => conf.bridge)]);
  } catch {
    // Without root the folder of records is closed.
    return new Set([DEFAULT_BRIDGE]);
  }
}

/** Whether a link is ours: a pod's, a bridge of our networks or the gateway of a VLAN on it, a tunnel device. */
export function isOwnLink(name: string, bridges: ReadonlySet<string>): boolean {
  const [bridge = "", vlan] = name.split(".");
  const isVlan = bridges.has(bridge) && vlan !== undefined && /^[0-9]+$/.test(vlan);
  return isPodLinkName(name) || bridges.has(name) || isVlan || Object.values(TUNNEL_NAMES).includes(name);
}

/** The list's items that a run asks: spread over the list, so that not every node asks the same ones. */
export function sample<T>(items: readonly T[], most: number, seed: number): T[] {
  if (items.length <= most) return [...items];
  const step = items.length / most;
  return Array.from({ length: most }, (_, index) => {
    return items[(seed + Math.floor(index * step)) % items.length];
  }).filter((item) => item !== undefined);
}

/** An address as text; null stays null. */
export function textOf(address: Parameters<typeof formatAddress>[0] | null): string | null {
  return address === null ? null : formatAddress(address);
}
