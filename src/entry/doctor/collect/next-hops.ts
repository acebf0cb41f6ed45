import type { NextHops } from "../../../doctor/sections/next-hops.ts";
import { type NeighbourEntry, observeNeighbourStates } from "../../../host/neighbour-states.ts";
import { askSized } from "../../../host/path-probe.ts";
import { type Address, FAMILIES, formatAddress } from "../../../net/address.ts";
import { addressOf } from "../../../topology/path.ts";
import type { DoctorContext } from "./context.ts";
import { isOwnLink, nodesOf, ownBridges } from "./network-view.ts";

/** Next hops that are asked again: a FAILED entry may be of a peer that has come back since. */
const MOST_ASKED = 32;
/** The kernel asks by ARP or NDP three times, a second apart, before it gives up; on a link that works the first is answered. */
const PATIENCE_MS = 1_200;
const LOOK_MS = 100;
const SMALL_BYTES = 64;

/** How the kernel would send to each peer, and what it knows of the next hops. */
export async function collectNextHops(context: DoctorContext): Promise<NextHops> {
  const { host, cluster, node } = context;
  const links = new Map(host.links().map((link) => [link.index, link.name] as const));
  const peers = nodesOf(context).nodes.filter(({ name }) => name !== node);
  const asked = peers.flatMap(({ name, ...peer }) =>
    FAMILIES.flatMap((family) => {
      const address = addressOf({ name, ...peer }, family);
      return address === null ? [] : [{ name, address }];
    }),
  );
  const answers = host.lookupRoutes(asked.map(({ address }) => address));
  const hops = new Map<string, { readonly index: number; readonly address: Address }>();
  const found = asked.map(({ name, address }, place): NextHops["peers"][number] => {
    const answer = answers[place] ?? null;
    if (answer !== null && !answer.isLocal) {
      const hop = { index: answer.ifindex, address: answer.gateway ?? address };
      hops.set(keyOf(hop), hop);
    }
    const route =
      answer === null
        ? null
        : {
            gateway: answer.gateway === null ? null : formatAddress(answer.gateway),
            dev: links.get(answer.ifindex) ?? "?",
            isLocal: answer.isLocal,
          };
    return { name, address: formatAddress(address), ready: cluster.states.get(name)?.ready ?? null, route };
  });
  const entries = await settle([...hops.values()], context.settings.mayProbe);
  const bridges = ownBridges(context);
  return {
    peers: found,
    neighbours: entries.map(({ index, address, mac, state }) => ({
      dev: links.get(index) ?? "?",
      address: formatAddress(address),
      mac,
      state,
    })),
    isAsked: context.settings.mayProbe,
    ours: [...links.values()].filter((name) => isOwnLink(name, bridges)),
  };
}

interface Hop {
  readonly index: number;
  readonly address: Address;
}

const keyOf = ({ index, address }: Hop) => `${index} ${formatAddress(address)}`;

/** The entries of these next hops once the kernel has had time to find out about those that did not answer, or are new. */
async function settle(hops: readonly Hop[], mayProbe: boolean): Promise<NeighbourEntry[]> {
  const wanted = new Set(hops.map(keyOf));
  const look = () => observeNeighbourStates().filter((entry) => wanted.has(keyOf(entry)));
  const before = look();
  const known = new Map(before.map((entry) => [keyOf(entry), entry.state] as const));
  const isOpen = (hop: Hop) => ["FAILED", "INCOMPLETE", undefined].includes(known.get(keyOf(hop)));
  const open = hops.filter(isOpen);
  if (open.length === 0) return before;
  if (mayProbe) {
    const some = open.slice(0, MOST_ASKED);
    // The packet itself is of no interest: the kernel needs one to look for the next hop.
    await Promise.all(
      some.map(({ address }) => askSized({ address, packetBytes: SMALL_BYTES, timeoutMs: LOOK_MS })),
    );
  }
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; ) {
    if (look().every(({ state }) => state !== "INCOMPLETE")) break;
    await Bun.sleep(LOOK_MS);
  }
  return look();
}
