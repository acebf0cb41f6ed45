import { type Family, formatAddress } from "../net/address.ts";
import { isBatchSafe } from "../net/ifname.ts";
import { formatPrefix } from "../net/prefix.ts";
import { HOST, type LinkSettings, type NewLink, type Operation, type RouteSpec, type Step } from "./step.ts";

/** What an operation is made of: words for `ip`, a sysctl file, or input for `iptables-restore`. */
export type Command =
  | { readonly tool: "ip"; readonly words: readonly string[] }
  | { readonly tool: "sysctl"; readonly key: string; readonly value: string; readonly optional: boolean }
  | { readonly tool: "iptables-restore"; readonly family: Family; readonly lines: readonly string[] };

/**
 * The command of one operation. Throws RangeError for a word that `ip -batch` would misread (blank, quote, `#`):
 * such a name must have been refused at the border.
 */
export function formatOperation(operation: Operation): Command {
  if (operation.op === "sysctl.set") {
    return { tool: "sysctl", key: operation.key, value: operation.value, optional: operation.optional };
  }
  if (operation.op === "rules.restore") {
    return { tool: "iptables-restore", family: operation.family, lines: operation.lines };
  }
  const words = ipWords(operation);
  for (const word of words) {
    if (!isBatchSafe(word)) throw new RangeError(`word ${JSON.stringify(word)} can't stand in an ip batch`);
  }
  return { tool: "ip", words };
}

type IpOperation = Exclude<Operation, { op: "sysctl.set" | "rules.restore" }>;

function ipWords(operation: IpOperation): string[] {
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
    case "route.add":
    case "route.replace":
    case "route.del":
      return routeWords(operation.op.slice("route.".length), operation.route);
    case "neigh.del":
      return ["neigh", "del", formatAddress(operation.address), "dev", operation.dev];
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
  if (link.kind === "bridge") return [...own, "type", "bridge"];
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
  if (set.promisc !== undefined) words.push("promisc", onOff(set.promisc));
  if (set.up !== undefined) words.push(set.up ? "up" : "down");
  if (set.port !== undefined) {
    words.push("type", "bridge_slave");
    if (set.port.hairpin !== undefined) words.push("hairpin", onOff(set.port.hairpin));
    if (set.port.isolated !== undefined) words.push("isolated", onOff(set.port.isolated));
  }
  return words;
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
    case "ip": {
      // Routes and addresses of IPv6 need no -6: the family follows from the address.
      return `${enter}ip ${command.words.map(quoteWord).join(" ")}`;
    }
    case "sysctl":
      return `${enter}sysctl -w ${quoteWord(`${command.key.replaceAll(".", "\0").replaceAll("/", ".").replaceAll("\0", "/")}=${command.value}`)}`;
    case "iptables-restore":
      return `${enter}${restoreTool(command.family)} --noflush -w 10 <<'EOF'\n${command.lines.join("\n")}\nEOF`;
  }
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
