import type { NodeAddresses } from "../../../doctor/sections/node-addresses.ts";
import { FAMILIES, formatAddress } from "../../../net/address.ts";
import type { ClusterNode } from "../../../net/node.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import type { ObservedLink } from "../../../plan/state.ts";
import { addressOf } from "../../../topology/path.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import type { DoctorContext } from "./context.ts";
import { findOwnNode, isOwnLink, ownBridges, textOf } from "./network-view.ts";
import { readOptionalFile } from "./optional-file.ts";

/** Where packages of the kubelet keep its flags. */
const KUBELET_FILES = ["/etc/default/kubelet", "/etc/sysconfig/kubelet"];

/** The addresses of this node, by the API and by its links. */
export function collectNodeAddresses(context: DoctorContext): NodeAddresses {
  const { host, cluster, node } = context;
  const links = host.links();
  const bridges = ownBridges(context);
  const snapshot = cluster.snapshot;
  const self =
    snapshot === null
      ? `no list of Nodes: ${cluster.fault ?? "no source is known"}`
      : findOwnNode(context, snapshot);
  const peers = (snapshot?.nodes ?? []).filter(({ name }) => name !== node);
  return {
    self: node,
    internalIps: typeof self === "string" ? null : self.addresses.map(formatAddress),
    unknown: typeof self === "string" ? self : null,
    source: cluster.source,
    isLive: cluster.isLive,
    links: links.flatMap(({ name, up, index }) => {
      const addresses = host.addresses(index).filter(({ linkLocal }) => !linkLocal);
      if (addresses.length === 0) return [];
      const isOurs = isOwnLink(name, bridges);
      return [{ name, isUp: up, isOurs, addresses: addresses.map(({ prefix }) => formatPrefix(prefix)) }];
    }),
    defaults: defaultsOf(context, links),
    peersOn: peersOn(context, peers, links),
    tunnels: links
      .filter(({ name, vxlan }) => vxlan !== null && Object.values(TUNNEL_NAMES).includes(name))
      .map(({ name, vxlan }) => ({ name, local: textOf(vxlan?.local ?? null) })),
    nodeIp: findNodeIp(context),
  };
}

function defaultsOf({ host }: DoctorContext, links: readonly ObservedLink[]): NodeAddresses["defaults"] {
  const table = host.routeTable();
  const found: NodeAddresses["defaults"] = [];
  for (let index = 0; index < table.count; index++) {
    const { dst, via, ifindex, metric } = table.at(index);
    const dev = links.find((link) => link.index === ifindex)?.name;
    if (dst.length === 0 && dev !== undefined)
      found.push({ family: dst.address.family, dev, via: textOf(via), metric });
  }
  return found;
}

function peersOn(
  { host }: DoctorContext,
  peers: readonly ClusterNode[],
  links: readonly ObservedLink[],
): NodeAddresses["peersOn"] {
  const found = new Map<string, NodeAddresses["peersOn"][number]>();
  for (const family of FAMILIES) {
    const addresses = peers.flatMap((peer) => addressOf(peer, family) ?? []);
    const answers = host.lookupRoutes(addresses);
    for (const [index, address] of addresses.entries()) {
      const answer = answers[index];
      if (answer == null || answer.isLocal || answer.gateway !== null) continue;
      const dev = links.find((link) => link.index === answer.ifindex)?.name ?? "?";
      const key = `${family} ${dev}`;
      const before = found.get(key) ?? { family, dev, count: 0, example: formatAddress(address) };
      found.set(key, { ...before, count: before.count + 1 });
    }
  }
  return [...found.values()];
}

function findNodeIp(context: DoctorContext): NodeAddresses["nodeIp"] {
  for (const path of KUBELET_FILES) {
    const text = /--node-ip[= ]([^\s"']+)/.exec(readOptionalFile(context, path))?.[1];
    if (text !== undefined) return { text, path };
  }
  return null;
}
