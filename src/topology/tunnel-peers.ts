import type { Address } from "../net/address.ts";
import type { ObservedFdb, ObservedNeighbour } from "../plan/state.ts";
import { HOST, type Operation, type Plan, type Step } from "../plan/step.ts";
import type { TunnelDevice, TunnelNeighbour } from "./tunnel.ts";

const PEERS = "tunnel endpoints of peers";
const GONE = "tunnel endpoints of peers that are gone";

/** What a device has to learn of peers, and to forget: the one goes before the routes, the other behind them. */
export interface TunnelPeersPlan {
  readonly additions: { readonly forwarding: Plan; readonly neighbours: Plan };
  readonly deletions: { readonly forwarding: Plan; readonly neighbours: Plan };
}

/** What a device should know, by keys. */
interface Wanted {
  readonly forwarding: ReadonlyMap<string, ObservedFdb>;
  readonly neighbours: ReadonlyMap<string, TunnelNeighbour>;
}

/** Made once for a device: it stays the same object while nothing about it has changed. */
const known = new WeakMap<TunnelDevice, Wanted>();

function wantedOf(device: TunnelDevice): Wanted {
  const before = known.get(device);
  if (before !== undefined) return before;
  const { forwarding, neighbours } = device;
  const wanted = {
    forwarding: new Map(forwarding.map((entry) => [fdbKey(entry), entry])),
    neighbours: new Map(neighbours.map((entry) => [neighbourKey(entry), entry])),
  };
  known.set(device, wanted);
  return wanted;
}

/** What a device knows of peers. */
export interface ObservedPeers {
  readonly forwarding: readonly ObservedFdb[];
  readonly neighbours: readonly ObservedNeighbour[];
}

/** The difference between desired and observed peers of a device. Entries that the kernel made by itself are left. */
export function planTunnelPeers(device: TunnelDevice, observed: ObservedPeers): TunnelPeersPlan {
  const wanted = wantedOf(device);
  const permanent = observed.neighbours.filter(({ isPermanent }) => isPermanent);
  const forwarding = compare(wanted.forwarding, observed.forwarding, fdbKey);
  const neighbours = compare(wanted.neighbours, permanent, neighbourKey);
  return planDifference(device, forwarding, neighbours, device);
}

/** As {@link planTunnelPeers} where the device is known to be as desired before: what changed in the desire is all. */
export function planTunnelChange(device: TunnelDevice, before: TunnelDevice): TunnelPeersPlan {
  if (device === before) return planDifference(device, NO_DIFFERENCE, NO_DIFFERENCE, NOBODY);
  const forwarding = compareObjects(device.forwarding, before.forwarding, fdbKey);
  const neighbours = compareObjects(device.neighbours, before.neighbours, neighbourKey);
  const overwriting = { forwarding: forwarding.missing, neighbours: neighbours.missing };
  return planDifference(device, forwarding, neighbours, overwriting);
}

interface Difference<W, O> {
  readonly missing: readonly W[];
  readonly stale: readonly O[];
}

const NO_DIFFERENCE = { missing: [], stale: [] };
const NOBODY = { forwarding: [], neighbours: [] };

/** By objects first, of which nearly all are the same; what is left, by what they say. */
function compareObjects<T>(
  wanted: readonly T[],
  before: readonly T[],
  keyOf: (entry: T) => string,
): Difference<T, T> {
  const [now, then] = [new Set(wanted), new Set(before)];
  const missing = wanted.filter((it) => !then.has(it));
  const gone = before.filter((it) => !now.has(it));
  return compare(new Map(missing.map((it) => [keyOf(it), it] as const)), gone, keyOf);
}

/** `overwriting`: what is wanted for a MAC or an address of which something stale is known. */
function planDifference(
  device: TunnelDevice,
  forwarding: Difference<ObservedFdb, ObservedFdb>,
  neighbours: Difference<TunnelNeighbour, TunnelNeighbour>,
  overwriting: Pick<TunnelDevice, "forwarding" | "neighbours">,
): TunnelPeersPlan {
  const dev = device.link.name;
  const isStale = forwarding.stale.length > 0 || neighbours.stale.length > 0;
  const macs = new Set(isStale ? overwriting.forwarding.map(({ mac }) => mac) : []);
  const addresses = new Set(isStale ? overwriting.neighbours.map(({ address }) => addressKey(address)) : []);
  const step = (operation: Operation, why: string): Step => ({ ...operation, netns: HOST, why });
  return {
    additions: {
      forwarding: forwarding.missing.map((it) => step({ op: "fdb.replace", dev, ...it }, PEERS)),
      neighbours: neighbours.missing.map((it) => step({ op: "neigh.replace", dev, ...it }, PEERS)),
    },
    deletions: {
      // What `replace` overwrites is gone already.
      forwarding: forwarding.stale
        .filter(({ mac }) => !macs.has(mac))
        .map((it) => step({ op: "fdb.del", dev, ...it }, GONE)),
      neighbours: neighbours.stale
        .filter(({ address }) => !addresses.has(addressKey(address)))
        .map(({ address, mac }) => step({ op: "neigh.del", dev, address, mac }, GONE)),
    },
  };
}

function compare<W, O>(
  wanted: ReadonlyMap<string, W>,
  observed: readonly O[],
  keyOf: (entry: O) => string,
): Difference<W, O> {
  const seen = new Set<string>();
  const stale: O[] = [];
  for (const entry of observed) {
    const key = keyOf(entry);
    if (wanted.has(key)) seen.add(key);
    else stale.push(entry);
  }
  const isWhole = seen.size === wanted.size;
  return { missing: isWhole ? [] : [...wanted].flatMap(([key, it]) => (seen.has(key) ? [] : [it])), stale };
}

function fdbKey({ mac, dst }: ObservedFdb): string {
  return `${mac} ${addressKey(dst)}`;
}

function neighbourKey({ address, mac }: TunnelNeighbour): string {
  return `${mac} ${addressKey(address)}`;
}

/** Not for people: a quarter of what the text of an address costs. */
function addressKey({ family, value }: Address): string {
  return family === 4 ? String(Number(value)) : value.toString(36);
}
