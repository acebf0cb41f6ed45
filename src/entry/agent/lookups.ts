import type { Host } from "../../host/machine.ts";
import { type Address, formatAddress } from "../../net/address.ts";
import { isHostVethName } from "../../net/ifname.ts";
import type { ClusterNode } from "../../net/node.ts";
import { ROUTE_WORDS, type RouteTable, WORD } from "../../plan/route-table.ts";
import type { ObservedLink, RouteLookup } from "../../plan/state.ts";
import { ROUTE_PROTOCOL } from "../../plan/step.ts";
import { addressOf, type Lookup } from "../../topology/path.ts";

/** How long an answer is good although nothing seen here has changed: other tables and marks are not seen. */
const MAX_AGE_MS = 60_000;

/**
 * `ip route get` for the node addresses of all peers, asked again only when something it depends on has changed: routes
 * of others, links, or the peers. The same function comes back while the answers are the same ones.
 */
export function createLookups(
  host: Host,
  now: () => number,
): {
  of(peers: readonly ClusterNode[], table: RouteTable, links: readonly ObservedLink[]): Lookup;
  /** A policy rule changed: nothing is known any more. */
  forget(): void;
} {
  let kept: { peers: readonly ClusterNode[]; digest: string; at: number; lookup: Lookup } | null = null;
  return {
    of: (peers, table, links) => {
      const digest = digestOf(table, links);
      if (kept?.peers === peers && kept.digest === digest && now() - kept.at < MAX_AGE_MS) return kept.lookup;
      const lookup = ask(peers, host);
      kept = { peers, digest, at: now(), lookup };
      return lookup;
    },
    forget: () => {
      kept = null;
    },
  };
}

function ask(peers: readonly ClusterNode[], host: Host): Lookup {
  const addresses = peers.flatMap((peer): Address[] =>
    ([4, 6] as const).flatMap((family) => addressOf(peer, family) ?? []),
  );
  const answers = host.lookupRoutes(addresses);
  const known = new Map<string, RouteLookup | null>();
  for (const [index, address] of addresses.entries())
    known.set(formatAddress(address), answers[index] ?? null);
  return (address) => known.get(formatAddress(address));
}

/** What the answers depend on: all routes but ours (FNV-1a over their words), and which links there are and up. */
function digestOf(table: RouteTable, links: readonly ObservedLink[]): string {
  const { words } = table;
  let hash = 0x811c9dc5;
  for (let at = 0; at < words.length; at += ROUTE_WORDS) {
    if (words[at + WORD.protocol] === ROUTE_PROTOCOL) continue;
    for (let offset = 0; offset < WORD.protocol; offset++)
      hash = Math.imul(hash ^ (words[at + offset] ?? 0), 0x01000193);
  }
  // Pods come and go without changing how a peer is reached.
  const others = links.filter(({ name }) => !isHostVethName(name));
  const state = others.map(({ index, up }) => `${index}${up ? "" : "-"}`).join();
  return `${hash} ${state}`;
}
