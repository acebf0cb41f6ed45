import { type Command, InvalidArgumentError, Option } from "commander";
import { EXECUTORS } from "../../host/engine.ts";
import { mergePrefixes } from "../../net/merge.ts";
import { formatPrefix, hasHostBits, type Prefix, parsePrefix } from "../../net/prefix.ts";
import { BACKENDS } from "../../topology/path.ts";
import { createCommand } from "../output/command.ts";

const MAY_BE_EMPTY: readonly string[] = ["MINICNI_CONF_DIR", "MINICNI_LISTEN"];

/** The command line of `minicni agent`, without an action. */
export function createAgentCommand(): Command {
  const option = (flags: string, description: string, variable: string, initial?: unknown) => {
    const made = new Option(flags, description);
    // An empty variable is what a manifest has for a setting that nobody made; for two of them it says "none".
    if (process.env[variable] !== "" || MAY_BE_EMPTY.includes(variable)) made.env(variable);
    return initial === undefined ? made : made.default(initial);
  };
  const command = createCommand(
    "agent",
    "keeps one node's part of the pod network right: routes, tunnels, rules, conflist",
    [
      ["minicni agent --node n1 --kubeconfig FILE", "without a DaemonSet; FILE may list and watch nodes"],
      ["minicni agent --node n1 --nodes nodes.json", "without an API: what kubectl get nodes -o json prints"],
      ["minicni agent --node n1 --page 127.0.0.1:9159", "with a page to look at"],
      ["minicni agent --node n1 --once --dry-run", "one pass, printed and not run"],
    ],
  );
  const options: readonly Option[] = [
    option("--node <name>", "name of this Node", "NODE_NAME").argParser(parseName).makeOptionMandatory(),
    option("--nodes <file>", "NodeList file in place of the API", "MINICNI_NODES"),
    option("--kubeconfig <file>", "default: the pod's ServiceAccount", "KUBECONFIG"),
    option("--backend <name>", "how peers' pods are reached", "MINICNI_BACKEND", "auto").choices(BACKENDS),
    number("--vni <number>", "VXLAN network identifier", "MINICNI_VNI", 157, 1, 2 ** 24 - 1),
    number("--vxlan-port <port>", "UDP port of the tunnel", "MINICNI_VXLAN_PORT", 8472, 1, 65535),
    option(
      "--cluster-cidrs <list>",
      "default: the pod CIDRs of all Nodes",
      "MINICNI_CLUSTER_CIDRS",
      [],
    ).argParser(parseClusterCidrs),
    option(
      "--non-masquerade-cidrs <list>",
      "keep pods' sources to these",
      "MINICNI_NON_MASQUERADE_CIDRS",
      [],
    ).argParser(parseCidrs),
    option(
      "--masquerade <boolean>",
      "masquerade what leaves the cluster",
      "MINICNI_MASQUERADE",
      true,
    ).argParser(parseBoolean),
    option(
      "--masquerade-nodes <boolean>",
      "and what goes to other nodes",
      "MINICNI_MASQUERADE_NODES",
      false,
    ).argParser(parseBoolean),
    option("--mtu <bytes>", "MTU of pods; 0: detect", "MINICNI_MTU", 0).argParser(parseMtu),
    option("--state-dir <folder>", "records and node.json", "MINICNI_STATE_DIR", "/run/minicni").argParser(
      parseFolder,
    ),
    option("--data-dir <folder>", "last known Nodes", "MINICNI_DATA_DIR", "/var/lib/minicni").argParser(
      parseFolder,
    ),
    option(
      "--conf-dir <folder>",
      "where the conflist goes; empty: nowhere",
      "MINICNI_CONF_DIR",
      "/etc/cni/net.d",
    ).argParser((text) => (text === "" ? "" : parseFolder(text))),
    option("--listen <host:port>", "health and metrics; empty: none", "MINICNI_LISTEN", "127.0.0.1:9157"),
    option("--page <host:port>", "a page for people; empty: none", "MINICNI_PAGE", ""),
    number(
      "--resync-period <seconds>",
      "whole look at routes and rules",
      "MINICNI_RESYNC_PERIOD",
      5,
      1,
      3600,
    ),
    number("--leak-grace <seconds>", "before dead pods go; 0: never", "MINICNI_LEAK_GRACE", 60, 0, 86400),
    option(
      "--node-condition <boolean>",
      "set NetworkUnavailable=False",
      "MINICNI_NODE_CONDITION",
      false,
    ).argParser(parseBoolean),
    option("--executor <name>", "of links, addresses, routes", "MINICNI_EXECUTOR", "auto").choices(EXECUTORS),
    option("--log-format <name>", "of stderr", "MINICNI_LOG_FORMAT", "text").choices(["text", "json"]),
    new Option("--once", "one pass, then the end (exit 1 when it failed)").default(false),
    new Option("--dry-run", "with --once: print its commands; exit 3 when there are any").default(false),
  ];
  for (const made of options) command.addOption(made);
  return command;
}

function number(
  flags: string,
  description: string,
  variable: string,
  initial: number,
  least: number,
  most: number,
): Option {
  const made = new Option(flags, description);
  if (process.env[variable] !== "") made.env(variable);
  return made.default(initial).argParser((text) => {
    const value = Number(text);
    if (/^[0-9]+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`wanted a whole number from ${least} to ${most}.`);
  });
}

function parseName(text: string): string {
  if (text !== "") return text;
  throw new InvalidArgumentError("wanted the name of this Node.");
}

function parseBoolean(text: string): boolean {
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  if (/^(false|0|no|off)$/i.test(text)) return false;
  throw new InvalidArgumentError("wanted true or false.");
}

function parseFolder(text: string): string {
  if (text.startsWith("/") && text.length > 1) return text.replace(/\/+$/, "");
  throw new InvalidArgumentError("wanted an absolute path.");
}

/** 68 bytes are the least that IPv4 allows (RFC 791), 65535 the most a veth takes. */
function parseMtu(text: string): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && (value === 0 || (value >= 68 && value <= 65535))) return value;
  throw new InvalidArgumentError(
    "wanted 0 (detect), or a whole number from 68 (the least of IPv4; IPv6 needs 1280) to 65535.",
  );
}

/** With a cluster CIDR of everything the FORWARD chain would accept whatever anybody sends through this node. */
function parseClusterCidrs(text: string): Prefix[] {
  const prefixes = parseCidrs(text);
  // Halves make a whole.
  const all = mergePrefixes(prefixes).find(({ length }) => length === 0);
  if (all === undefined) return prefixes;
  throw new InvalidArgumentError(
    `${formatPrefix(all)} is everything: this node would forward for all the world and masquerade nothing. Wanted the networks that pod CIDRs come from, as 10.244.0.0/16; to masquerade nothing, --masquerade false.`,
  );
}

function parseCidrs(text: string): Prefix[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const prefix = parsePrefix(part);
      if (prefix !== null && !hasHostBits(prefix)) return prefix;
      throw new InvalidArgumentError(`"${part}" is no network (wanted address/length without host bits).`);
    });
}
