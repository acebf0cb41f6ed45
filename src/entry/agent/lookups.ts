import type { Host } from "../../host/machine.ts";
import { type Address, FAMILIES, isSameAddress } from "../../net/address.ts";
import { isPodLinkName } from "../../net/ifname.ts";
import type { ClusterNode } from "../../net/node.ts";
import { contains } from "../../net/prefix.ts";
import { FLAG_GATEWAY, FLAG_ONLINK, ROUTE_WORDS, type RouteTable, WORD } from "../../plan/route-table.ts";
import type { ObservedLink, RouteLookup } from "../../plan/state.ts";
import { ROUTE_PROTOCOL } from "../../plan/step.ts";
import { addressOf, type Lookup } from "../../topology/path.ts";

/** How long an answer is good although nothing seen here has changed: other tables and marks are not seen. */
const MAX_AGE_MS = 60_000;

/** How this node reaches others. The same object as long as no answer is another one. */
export interface Reach {
  readonly lookup: Lookup;
  /** There is no way to it right now; what {@link Reach.lookup} says is what was so before. */
  readonly isLost: (address: Address) => boolean;
  readonly gateways: readonly Gateway[];
}

/**
 * A gateway of others' routes, which no route to a peer's pod CIDR may take. Onlink ones are none of these: they are
 * looked for on their device alone.
 */
export interface Gateway {
  readonly address: Address;
  /**
   * Prefix length of its own route where that leads to the gateway as well (flannel's do, a default route does): only a
   * longer one would take it. -1: it does not.
   */
  readonly ownLength: number;
}

/**
 * `ip route get` for the node addresses of all peers, asked again only when something it depends on has changed: routes
 * of others, links, or time; of new peers alone when only the peers have. A peer that can't be reached for a moment (an
 * uplink without its address while DHCP restarts) is not behind a router for that: what was so stays so.
 */
export function createLookups(
  host: Host,
  now: () => number,
): {
  of(peers: readonly ClusterNode[], table: RouteTable, links: readonly ObservedLink[]): Reach;
  /** A policy rule changed: nothing is known any more. */
  forget(): void;
} {
  let kept: {
    peers: readonly ClusterNode[];
    digest: string;
    at: number;
    answers: Answers;
    reach: Reach;
  } | null = null;
  let lost = new Set<Address>();
  let isForgotten = false;
  const isLost = (address: Address) => lost.has(address);

  /** Asks for these and keeps the answers; where the kernel knows no way, what `before` knew. */
  const ask = (addresses: readonly Address[], answers: Answers, before: Answers | null) => {
    const found = addresses.length === 0 ? [] : host.lookupRoutes(addresses);
    for (const [index, address] of addresses.entries()) {
      const is = found[index] ?? null;
      if (is === null) lost.add(address);
      answers.set(address, is ?? before?.get(address) ?? null);
    }
  };

  return {
    of: (peers, table, links) => {
      const digest = digestOf(table, links);
      const isFresh = kept?.digest === digest && now() - kept.at < MAX_AGE_MS && !isForgotten;
      if (kept !== null && isFresh && kept.peers === peers) return kept.reach;
      const addresses = addressesOf(peers);
      if (kept !== null && isFresh) {
        const { answers } = kept;
        ask(
          addresses.filter((address) => !answers.has(address)),
          answers,
          null,
        );
        kept = { ...kept, peers };
        return kept.reach;
      }
      isForgotten = false;
      lost = new Set();
      const before = kept;
      const answers: Answers = new Map();
      ask(addresses, answers, before?.answers ?? null);
      const gateways = gatewaysOf(table);
      const isSame = (address: Address) =>
        isSameLookup(answers.get(address) ?? null, before?.answers.get(address));
      const isUnchanged =
        before?.peers === peers && isSameList(gateways, before.reach.gateways) && addresses.every(isSame);
      kept =
        isUnchanged && before !== null
          ? { ...before, digest, at: now() }
          : {
              ...{ peers, digest, at: now(), answers },
              reach: { lookup: (address) => answers.get(address), isLost, gateways },
            };
      return kept.reach;
    },
    forget: () => {
      isForgotten = true;
    },
  };
}

/** By the address as an object: an unchanged Node has the same ones in every snapshot. */
type Answers = Map<Address, RouteLookup | null>;

function addressesOf(peers: readonly ClusterNode[]): Address[] {
  return peers.flatMap((peer) => FAMILIES.flatMap((family) => addressOf(peer, family) ?? []));
}

function isSameLookup(a: RouteLookup | null, b: RouteLookup | null | undefined): boolean {
  if (a === null || b === null || b === undefined) return a === b;
  const isSameGateway =
    a.gateway === null || b.gateway === null ? a.gateway === b.gateway : isSameAddress(a.gateway, b.gateway);
  return isSameGateway && a.ifindex === b.ifindex && a.isLocal === b.isLocal;
}

function isSameList(a: readonly Gateway[], b: readonly Gateway[]): boolean {
  const isSame = (one: Gateway, other: Gateway | undefined) =>
    other !== undefined && isSameAddress(one.address, other.address) && one.ownLength === other.ownLength;
  return a.length === b.length && a.every((it, index) => isSame(it, b[index]));
}

function gatewaysOf(table: RouteTable): Gateway[] {
  const { words } = table;
  const found: Gateway[] = [];
  for (let index = 0; index < table.count; index++) {
    const at = index * ROUTE_WORDS;
    const isForeign = words[at + WORD.protocol] !== ROUTE_PROTOCOL;
    if (!isForeign || ((words[at + WORD.flags] ?? 0) & (FLAG_GATEWAY | FLAG_ONLINK)) !== FLAG_GATEWAY)
      continue;
    const { dst, via } = table.at(index);
    if (via === null || via.value === 0n) continue;
    found.push({ address: via, ownLength: contains(dst, via) ? dst.length : -1 });
  }
  return found;
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
  const others = links.filter(({ name }) => !isPodLinkName(name));
  const state = others.map(({ index, up }) => `${index}${up ? "" : "-"}`).join();
  return `${hash} ${state}`;
}
