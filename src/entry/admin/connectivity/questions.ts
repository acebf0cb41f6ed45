import { type Address, addOffset, type Family, isSameAddress } from "../../../net/address.ts";
import type { ClusterNode } from "../../../net/node.ts";
import { tunnelAddress } from "../../../topology/endpoint.ts";
import { TUNNEL_OVERHEAD } from "../../../topology/tunnel.ts";

/** Where a probe comes from. */
export type Source = "node" | "pod";

/**
 * What is asked. `node`: a peer's InternalIP; `tunnel`: its address in the tunnel, which is there with the tunnel;
 * `gateway`: that of its pods, on a bridge that is there with the first of them; `own`: this node; `given`: by `--to`.
 */
export type TargetKind = "node" | "tunnel" | "gateway" | "pod" | "own" | "given";

/** How this node sends to a peer's pods: `underlay` is the family of a tunnel's outer packets. */
export type Way =
  | { readonly kind: "direct" | "none" }
  | { readonly kind: "tunnel"; readonly underlay: Family };

/** One thing to ask. */
export interface Question {
  readonly from: Source;
  readonly kind: TargetKind;
  /** Null: no peer of the list. */
  readonly peer: string | null;
  readonly address: Address;
  /** Size of the large packet, with all headers from IP on. */
  readonly fullBytes: number;
  /** To the pods of that family; null: it does not matter here. */
  readonly way: Way | null;
}

/** What is known of a peer. */
export interface KnownPeer {
  readonly node: ClusterNode;
  /** Addresses of its pods as its agent says them; null: it was not asked, or did not answer. */
  readonly pods: readonly Address[] | null;
  /** The way to its pod CIDR of a family. */
  readonly ways: ReadonlyMap<Family, Way>;
}

/** The throwaway pod; null in {@link Scene}: there is none. */
export interface KnownPod {
  readonly families: readonly Family[];
  /** The own node's addresses on the bridge. */
  readonly gateways: readonly Address[];
}

/** All that the questions depend on. */
export interface Scene {
  /** Addresses of this node; empty: not known. */
  readonly own: readonly Address[];
  readonly peers: readonly KnownPeer[];
  readonly pod: KnownPod | null;
  readonly given: readonly Address[];
  /** Bytes that a pod's link promises. */
  readonly mtu: number;
  /** Peers have an address in the tunnel (not with backend host-gw). */
  readonly hasTunnels: boolean;
}

/** Of the pods that an agent names: a node whose pods are all beyond one bridge needs no more. */
const MOST_PODS = 2;

/** Everything to ask, by peer. */
export function describeQuestions(scene: Scene): Question[] {
  const { own, pod, given, mtu, peers } = scene;
  const ask = (from: Source, kind: TargetKind, address: Address): Question => {
    return { from, kind, peer: null, address, fullBytes: mtu, way: null };
  };
  const ofPod = (kind: TargetKind, addresses: readonly Address[]) =>
    addresses
      .filter(({ family }) => pod?.families.includes(family))
      .map((address) => ask("pod", kind, address));
  const here = [...(pod?.gateways ?? []), ...own].filter(
    (address, index, all) => all.findIndex((other) => isSameAddress(other, address)) === index,
  );
  return [
    ...ofPod("own", here),
    ...peers.flatMap((peer) => questionsOf(peer, scene, ofPod)),
    ...given.map((address) => ask("node", "given", address)),
    ...ofPod("given", given),
  ];
}

function questionsOf(
  { node, pods, ways }: KnownPeer,
  { own, mtu, hasTunnels }: Scene,
  ofPod: (kind: TargetKind, addresses: readonly Address[]) => Question[],
): Question[] {
  const isSpoken = ({ family }: Address) =>
    own.length === 0 || own.some((address) => address.family === family);
  const addresses = node.addresses.filter(isSpoken);
  const tunnels = hasTunnels ? node.podCidrs.map(tunnelAddress) : [];
  const gateways = node.podCidrs.flatMap((cidr) => addOffset(cidr.address, 1n) ?? []);
  const some = ([4, 6] as const).flatMap((family) =>
    (pods ?? []).filter((address) => address.family === family).slice(0, MOST_PODS),
  );
  const fromPod = [
    ...ofPod("node", addresses),
    ...[...ofPod("tunnel", tunnels), ...ofPod("gateway", gateways), ...ofPod("pod", some)].map((question) => {
      return { ...question, way: ways.get(question.address.family) ?? null };
    }),
  ];
  const fromNode = addresses.map((address): Question => {
    const fullBytes = mtu + overheadOf(ways, address.family);
    return { from: "node", kind: "node", peer: node.name, address, fullBytes, way: null };
  });
  return [...fromNode, ...fromPod.map((question) => ({ ...question, peer: node.name }))];
}

/** What pods' packets grow by on their way to the peer's address of this family. */
function overheadOf(ways: KnownPeer["ways"], family: Family): number {
  const isOver = [...ways.values()].some((way) => way.kind === "tunnel" && way.underlay === family);
  return isOver ? TUNNEL_OVERHEAD[family] : 0;
}

/** So many of the peers, spread over the list, so that not every node asks the same ones; `names`: these alone. */
export function choosePeers(
  nodes: readonly ClusterNode[],
  self: string | null,
  { most, names }: { readonly most: number; readonly names: readonly string[] },
): ClusterNode[] {
  const peers = nodes.filter(({ name }) => name !== self);
  if (names.length > 0) return peers.filter(({ name }) => names.includes(name));
  if (peers.length <= most) return peers;
  const first = Math.max(
    0,
    nodes.findIndex(({ name }) => name === self),
  );
  const step = peers.length / most;
  return Array.from(
    { length: most },
    (_, index) => peers[(first + Math.floor(index * step)) % peers.length],
  ).flatMap((peer) => peer ?? []);
}
