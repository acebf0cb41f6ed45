import { FAMILIES } from "../../../net/address.ts";
import { isPodLinkName } from "../../../net/ifname.ts";
import { addressOf } from "../../../topology/path.ts";
import type { DoctorContext } from "./context.ts";
import { isOwnLink, ownBridges, sample } from "./network-view.ts";

/** So many peers tell by which links all of them are reached. */
const MOST_PEERS = 64;

/** Names of links with a default route of IPv4, from the text of /proc/net/route (Destination and Mask of zero). */
export function parseDefaultLinks(text: string): string[] {
  const links = text.split("\n").flatMap((line) => {
    const [link = "", destination, , , , , , mask] = line.trim().split(/\s+/);
    return destination === "00000000" && mask === "00000000" ? [link] : [];
  });
  return [...new Set(links)];
}

/**
 * Names of the links that pods' packets come in by: those of default routes and those to peers, bridges of ours with their
 * VLANs' gateways, tunnels. Pods' own links are ports of a bridge, which is what routes.
 */
export function podPaths(context: DoctorContext): string[] {
  const { host, cluster, node } = context;
  const links = host.links();
  const bridges = ownBridges(context);
  const ours = links
    .map(({ name }) => name)
    .filter((name) => isOwnLink(name, bridges) && !isPodLinkName(name));
  const peers = (cluster.snapshot?.nodes ?? []).filter(({ name }) => name !== node);
  const addresses = FAMILIES.flatMap((family) =>
    sample(
      peers.flatMap((peer) => addressOf(peer, family) ?? []),
      MOST_PEERS,
      0,
    ),
  );
  const towards = host.lookupRoutes(addresses).flatMap((route) => {
    const link =
      route === null || route.isLocal ? undefined : links.find(({ index }) => index === route.ifindex);
    return link?.name ?? [];
  });
  return [...new Set([...parseDefaultLinks(host.readFile("/proc/net/route") ?? ""), ...towards, ...ours])];
}
