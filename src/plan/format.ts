import { type Family, formatAddress } from "../net/address.ts";
import { isBatchSafe } from "../net/ifname.ts";
import { formatPrefix } from "../net/prefix.ts";
import {
  HOST,
  type LinkSettings,
  type NewLink,
  type Operation,
  type PortVlan,
  type RouteSpec,
  type Step,
} from "./step.ts";

/** What an operation is made of: words for `ip` or `bridge`, a sysctl file, or input for a rule loader. */
export type Command =
  | { readonly tool: "ip" | "bridge"; readonly words: readonly string[] }
  | { readonly tool: "sysctl"; readonly key: string; readonly value: string; readonly optional: boolean }
  | { readonly tool: "iptables-restore"; readonly family: Family; readonly lines: readonly string[] }
  | { readonly tool: "nft"; readonly lines: readonly string[] };

/**
 * The command of one operation. Throws RangeError for a word that `ip -batch` (or `bridge -batch`, the same parser)
 * would misread (blank, quote, `#`): such a name must have been refused at the border.
 */
export function formatOperation(operation: Operation): Command {
  if (operation.op === "sysctl.set") {
    return { tool: "sysctl", key: operation.key, value: operation.value, optional: operation.optional };
  }
  if (operation.op === "rules.restore") {
    return { tool: "iptables-restore", family: operation.family, lines: operation.lines };
  }
  if (operation.op === "rules.nft") return { tool: "nft", lines: operation.lines };
  const tool = operation.op === "vlan.add" || operation.op === "vlan.del" ? "bridge" : "ip";
  const words = wordsOf(operation);
  for (const word of words) {
    if (!isBatchSafe(word)) {
      const batch = tool === "ip" ? "an ip batch" : "a bridge batch";
      throw new RangeError(`word ${JSON.stringify(word)} can't stand in ${batch}`);
    }
  }
  return { tool, words };
}

type WordOperation = Exclude<Operation, { op: "sysctl.set" | "rules.restore" | "rules.nft" }>;

function wordsOf(operation: WordOperation): string[] {
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
    case "vlan.add":
    case "vlan.del":
      return vlanWords(operation.op.slice("vlan.".length), operation);
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

function vlanWords(verb: string, vlan: PortVlan): string[] {
  const flags = (["pvid", "untagged", "self"] as const).filter((flag) => vlan[flag] === true);
  return ["vlan", verb, "vid", String(vlan.vid), "dev", vlan.dev, ...flags];
}

function addressWords(verb: string, dev: string, prefix: string, nodad: boolean): string[] {
  // `nodad`: the allocator already guarantees uniqueness; waiting costs 1.8–2.2 s per pod (plugins PR#688).
  return ["addr", verb, prefix, "dev", dev, ...(nodad ? ["nodad"] : [])];
}

function routeWords(verb: string, route: RouteSpec): string[] {
  const via = route.via === undefined ? [] : ["via", formatAddress(route.via)];
  return [
    "route",
    verb,
    formatPrefix(route.dst),
    ...via,
    "dev",
    route.dev,
    ...(route.onlink === true ? ["onlink"] : []),
    ...optional("proto", route.protocol),
    ...optional("scope", route.scope),
    ...optional("metric", route.metric),
    ...optional("table", route.table),
    ...optional("mtu", route.mtu),
    ...optional("advmss", route.advmss),
  ];
}

/** The tool that restores rules of a family. */
export function restoreTool(family: Family): "iptables-restore" | "ip6tables-restore" {
  return family === 4 ? "iptables-restore" : "ip6tables-restore";
}

/** Quotes a word for a POSIX shell only when it needs it, so that a printed command can be pasted. */
export function quoteWord(word: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A step as the command line a person could paste. */
export function formatStep(step: Step): string {
  const enter = step.netns === HOST ? "" : `nsenter --net=${quoteWord(step.netns)} `;
  const command = formatOperation(step);
  switch (command.tool) {
    case "ip":
    case "bridge": {
      // Routes and addresses of IPv6 need no -6: the family follows from the address.
      return `${enter}${command.tool} ${command.words.map(quoteWord).join(" ")}`;
    }
    case "sysctl":
      return `${enter}sysctl -w ${quoteWord(`${command.key.replaceAll(".", "\0").replaceAll("/", ".").replaceAll("\0", "/")}=${command.value}`)}`;
    case "iptables-restore":
      return `${enter}${restoreTool(command.family)} --noflush -w 10 ${heredoc(command.lines)}`;
    case "nft":
      return `${enter}nft -f - ${heredoc(command.lines)}`;
  }
}

function heredoc(lines: readonly string[]): string {
  return `<<'EOF'\n${lines.join("\n")}\nEOF`;
}

/** A plan as text: each step's reason as a comment, then its command. Empty plans say so. */
export function formatPlan(plan: readonly Step[]): string {
  if (plan.length === 0) return "# nothing to change\n";
  const lines: string[] = [];
  let why = "";
  for (const step of plan) {
    if (step.why !== why) lines.push(`# ${step.why}`);
    why = step.why;
    lines.push(formatStep(step));
  }
  return `${lines.join("\n")}\n`;
}
