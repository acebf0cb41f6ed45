import { HostError } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import {
  type Address,
  FAMILIES,
  type Family,
  formatAddress,
  isSameAddress,
  parseAddress,
} from "../../../net/address.ts";
import type { ClusterNode } from "../../../net/node.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import { addressOf } from "../../../topology/path.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import { type AgentReport, readReport } from "../../agent/report.ts";
import { type KnownCluster, type NodesChoice, readCluster } from "../nodes.ts";
import { askAgents, chooseAskingPort } from "../status/ask.ts";
import { observeRoutes } from "../status/collect.ts";
import { choosePeers, type KnownPeer, type Way } from "./questions.ts";

/** What is known before anything is asked. */
export interface Surroundings {
  readonly cluster: KnownCluster;
  readonly report: AgentReport | null;
  readonly self: ClusterNode | null;
  readonly name: string | null;
  readonly peers: readonly KnownPeer[];
  /** How many there are besides this Node. */
  readonly known: number;
  readonly notAsked: string | null;
  readonly notes: readonly string[];
}

/** What was asked for. */
export interface CollectOptions {
  readonly stateDir: string;
  readonly choice: NodesChoice;
  readonly node: string | null;
  readonly most: number;
  readonly names: readonly string[];
  readonly port: number | null;
}

/** The Nodes, the ways to the chosen peers, and what their agents say of their pods. Throws HostError for an unknown peer. */
export async function collectSurroundings(
  options: CollectOptions,
  host: Host,
  tell: (what: string) => void,
): Promise<Surroundings> {
  tell("asking for the Nodes");
  const { report } = readReport(options.stateDir, host);
  const cluster = await readCluster(options.choice, report, host);
  const nodes = cluster.snapshot?.nodes ?? [];
  const { nodesFile, kubeconfig } = options.choice;
  if (cluster.snapshot === null && (nodesFile !== null || kubeconfig !== null)) {
    throw new HostError(`no Nodes: ${cluster.fault}`, "name a file that can be read, or none");
  }
  const name = options.node ?? report?.settings.node ?? findOwnName(nodes, host);
  const self = nodes.find((node) => node.name === name) ?? null;
  const unknown = options.names.filter((one) => !nodes.some((node) => node.name === one) || one === name);
  if (unknown.length > 0) {
    throw new HostError(
      `${unknown.join(", ")}: no peer of that name`,
      `the source is ${cluster.source ?? "nowhere"}`,
    );
  }
  const chosen = choosePeers(nodes, name, options);
  const asking = chooseAskingPort(options.port, report?.settings.listen ?? null);
  const answers =
    asking.port === null || chosen.length === 0
      ? new Map<string, { readonly report: AgentReport | null }>()
      : await askAgents(chosen, asking.port, (done) => tell(`asking agents: ${done} of ${chosen.length}`));
  const ways = observeWays(host);
  const peers = chosen.map((node) => {
    const told = answers.get(node.name)?.report ?? null;
    const pods = told?.pods === undefined ? null : told.pods.flatMap((text) => parseAddress(text) ?? []);
    return { node, pods, ways: waysOf(node, ways) };
  });
  const isSilent = peers.filter(({ pods }) => pods === null).map(({ node }) => node.name);
  const notes = [
    ...(cluster.fault === null || cluster.source === null
      ? []
      : [`${cluster.source} is used: ${cluster.fault}`]),
    ...(asking.port === null || isSilent.length === 0
      ? []
      : [`no pods known of ${isSilent.join(", ")}: their agents do not say (name pods by --to)`]),
  ];
  const known = nodes.filter((node) => node.name !== name).length;
  const notAsked =
    chosen.length === 0 || asking.port !== null ? null : `not known (name some by --to): ${asking.why}`;
  return { cluster, report, self, name, peers, known, notAsked, notes };
}

/** The Node that has an address of this machine. */
function findOwnName(nodes: readonly ClusterNode[], host: Pick<Host, "ownAddresses">): string | null {
  const own = host.ownAddresses();
  const isOwn = ({ addresses }: ClusterNode) =>
    addresses.some((address) => own.some((other) => isSameAddress(other, address)));
  return nodes.find(isOwn)?.name ?? null;
}

/** Routes of ours by destination; null: can't be seen. */
function observeWays(host: Host): ReadonlyMap<string, Way> | null {
  try {
    const tunnels = new Map(
      FAMILIES.map((family) => [host.link(TUNNEL_NAMES[family])?.index ?? -1, family] as const),
    );
    return new Map(
      [...observeRoutes(host).destinations].map(([dst, index]): [string, Way] => {
        const underlay = tunnels.get(index);
        return [dst, underlay === undefined ? { kind: "direct" } : { kind: "tunnel", underlay }];
      }),
    );
  } catch {
    return null;
  }
}

function waysOf({ podCidrs }: ClusterNode, ways: ReadonlyMap<string, Way> | null): Map<Family, Way> {
  if (ways === null) return new Map();
  return new Map(
    podCidrs.map((cidr) => [
      cidr.address.family,
      ways.get(formatPrefix(cidr)) ?? ({ kind: "none" } as const),
    ]),
  );
}

/** The links of this node that a pod's packet leaves by, outermost first: uplink, tunnels, bridge; empty: can't be seen. */
export function observeWayOut(
  peers: readonly KnownPeer[],
  bridge: string,
  host: Pick<Host, "lookupRoutes" | "links">,
): { readonly name: string; readonly mtu: number }[] {
  const towards = peers.flatMap(({ node }) => FAMILIES.flatMap((family) => addressOf(node, family) ?? []));
  try {
    const index = host.lookupRoutes(towards).find((way) => way !== null && !way.isLocal)?.ifindex;
    const links = host.links();
    const names = [...Object.values(TUNNEL_NAMES), bridge];
    const wanted = [
      ...links.filter((link) => link.index === index),
      ...names.flatMap((name) => links.filter((link) => link.name === name)),
    ];
    return wanted.map(({ name, mtu }) => ({ name, mtu }));
  } catch {
    return [];
  }
}

/** Addresses in an order for people: IPv4 first. */
export function textsOf(addresses: readonly Address[]): string[] {
  return [...addresses].sort((a, b) => a.family - b.family).map(formatAddress);
}
