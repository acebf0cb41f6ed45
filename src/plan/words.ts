import { type Address, formatAddress } from "../net/address.ts";
import { formatPrefix, type Prefix } from "../net/prefix.ts";
import {
  type FileOperation,
  HOST,
  type LinkSettings,
  type NewLink,
  type Operation,
  type PortVlan,
  type RouteSpec,
  type TokenBucket,
} from "./step.ts";

/** Operations that are lines for `ip`, `bridge` or `tc`. */
export type WordOperation = Exclude<
  Operation,
  { op: "sysctl.set" | "rules.restore" | "rules.nft" | "link.offload" } | FileOperation
>;

/** The words of one line for `ip -batch`, `bridge -batch` or `tc -batch`, unchecked. */
export function wordsOf(operation: WordOperation): string[] {
  switch (operation.op) {
    case "link.add":
      return linkAddWords(operation.link);
    case "link.set":
      return linkSetWords(operation.name, operation.set);
    case "link.del":
      return ["link", "del", "dev", operation.name];
    case "addr.replace":
      return addressWords("replace", operation.dev, formatPrefix(operation.prefix), operation.nodad);
    case "addr.del":
      return addressWords("del", operation.dev, formatPrefix(operation.prefix), false);
    case "route.append":
    case "route.replace":
    case "route.del":
      return routeWords(operation.op.slice("route.".length), operation.route);
    case "neigh.forget":
      // `del` would fail without an entry.
      return ["neigh", "replace", formatAddress(operation.address), "dev", operation.dev, "nud", "none"];
    case "neigh.replace":
    case "neigh.del":
      return neighbourWords(operation);
    case "fdb.replace":
    case "fdb.del":
      return fdbWords(operation);
    case "vlan.add":
    case "vlan.del":
      return vlanWords(operation.op.slice("vlan.".length), operation);
    case "qdisc.tbf":
      return bucketWords(operation);
    case "qdisc.ingress":
      return ["qdisc", "add", "dev", operation.dev, "handle", "ffff:", "ingress"];
    case "filter.redirect":
      return redirectWords(operation.dev, operation.to);
    case "netns.add":
    case "netns.del":
      return ["netns", operation.op.slice("netns.".length), operation.name];
  }
}

function optional(key: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [key, String(value)];
}

function linkAddWords(link: NewLink): string[] {
  const own = [
    "link",
    "add",
    "name",
    link.name,
    ...optional("mtu", link.mtu),
    ...optional("address", link.mac),
  ];
  if (link.kind === "bridge") {
    return [...own, "type", "bridge", ...(link.vlanFiltering === true ? ["vlan_filtering", "1"] : [])];
  }
  if (link.kind === "ifb") return [...own, "type", "ifb"];
  if (link.kind === "vxlan") {
    // No learning: where a MAC is follows from the Nodes, and nobody may teach us otherwise.
    const words = ["type", "vxlan", "id", String(link.vni), "dstport", String(link.port)];
    return [...own, ...words, "local", formatAddress(link.local), "nolearning"];
  }
  const { peer } = link;
  return [
    ...own,
    "type",
    "veth",
    "peer",
    "name",
    peer.name,
    ...optional("mtu", peer.mtu),
    ...optional("address", peer.mac),
    ...(peer.netns === HOST ? [] : ["netns", peer.netns]),
  ];
}

function linkSetWords(name: string, set: LinkSettings): string[] {
  const onOff = (value: boolean) => (value ? "on" : "off");
  const words = ["link", "set", "dev", name];
  words.push(...optional("mtu", set.mtu), ...optional("address", set.mac), ...optional("master", set.master));
  words.push(...optional("addrgenmode", set.addrgenmode));
  words.push(...optional("alias", set.alias));
  if (set.promisc !== undefined) words.push("promisc", onOff(set.promisc));
  if (set.allmulti !== undefined) words.push("allmulticast", onOff(set.allmulti));
  words.push(...optional("txqueuelen", set.txQueueLength));
  if (set.up !== undefined) words.push(set.up ? "up" : "down");
  if (set.port !== undefined) {
    words.push("type", "bridge_slave");
    if (set.port.hairpin !== undefined) words.push("hairpin", onOff(set.port.hairpin));
    if (set.port.isolated !== undefined) words.push("isolated", onOff(set.port.isolated));
  }
  if (set.vlanFiltering !== undefined)
    words.push("type", "bridge", "vlan_filtering", set.vlanFiltering ? "1" : "0");
  return words;
}

type NeighbourOperation = Extract<Operation, { op: "neigh.replace" | "neigh.del" }>;

function neighbourWords({ op, address, mac, dev }: NeighbourOperation): string[] {
  const [, verb = ""] = op.split(".");
  const state = verb === "del" ? [] : ["lladdr", mac, "nud", "permanent"];
  return ["neigh", verb, formatAddress(address), "dev", dev, ...state];
}

type FdbOperation = Extract<Operation, { op: "fdb.replace" | "fdb.del" }>;

function fdbWords({ op, mac, dev, dst }: FdbOperation): string[] {
  const [, verb = ""] = op.split(".");
  return [
    "fdb",
    verb,
    mac,
    "dev",
    dev,
    "dst",
    formatAddress(dst),
    "self",
    ...(verb === "del" ? [] : ["permanent"]),
  ];
}

function vlanWords(verb: string, vlan: PortVlan): string[] {
  const flags = (["pvid", "untagged", "self"] as const).filter((flag) => vlan[flag] === true);
  return ["vlan", verb, "vid", String(vlan.vid), "dev", vlan.dev, ...flags];
}

function bucketWords({ dev, rate, burst, limit }: TokenBucket): string[] {
  // To tc, `bit` is bits per second, `bps` bytes per second, but `b` behind a size is bytes.
  const sizes = ["burst", `${burst}b`, "limit", `${limit}b`];
  return ["qdisc", "add", "dev", dev, "root", "handle", "1:", "tbf", "rate", `${rate * 8}bit`, ...sizes];
}

function redirectWords(dev: string, to: string): string[] {
  const all = ["protocol", "all", "u32", "match", "u32", "0", "0"];
  const action = ["action", "mirred", "egress", "redirect", "dev", to];
  return ["filter", "add", "dev", dev, "parent", "ffff:", ...all, ...action];
}

function addressWords(verb: string, dev: string, prefix: string, nodad: boolean): string[] {
  // `nodad`: the allocator already guarantees uniqueness; waiting costs 1.8–2.2 s per pod (plugins PR#688).
  return ["addr", verb, prefix, "dev", dev, ...(nodad ? ["nodad"] : [])];
}

/** A gateway of another family than the destination (RFC 5549) has to be announced. */
function otherFamily(via: Address, dst: Prefix): string[] {
  if (via.family === dst.address.family) return [];
  return [via.family === 6 ? "inet6" : "inet"];
}

function routeWords(verb: string, route: RouteSpec): string[] {
  const via =
    route.via === undefined ? [] : ["via", ...otherFamily(route.via, route.dst), formatAddress(route.via)];
  return [
    "route",
    verb,
    ...(route.type === undefined ? [] : [route.type]),
    formatPrefix(route.dst),
    ...via,
    ...(route.dev === "" ? [] : ["dev", route.dev]),
    ...(route.onlink === true ? ["onlink"] : []),
    ...optional("proto", route.protocol),
    ...optional("scope", route.scope),
    ...optional("metric", route.metric),
    ...optional("table", route.table),
    ...optional("mtu", route.mtu),
    ...optional("advmss", route.advmss),
  ];
}
