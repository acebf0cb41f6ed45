import { DEFAULT_BRIDGE } from "../../cni/config.ts";
import type { Host } from "../../host/machine.ts";
import type { AttachmentKey } from "../../ipam/reservation.ts";
import { hostVethName } from "../../net/ifname.ts";
import { quoteWord } from "../../plan/format.ts";
import type { ObservedLink } from "../../plan/state.ts";
import type { Plan } from "../../plan/step.ts";
import { parseVethAlias } from "../../topology/alias.ts";
import { type ConfFile, ownStateDir } from "../../topology/conf-file.ts";
import { CONFLIST_FILE } from "../../topology/conflist.ts";
import { foreignPorts, podLinks } from "../../topology/uninstall.ts";
import { formatKey } from "../call.ts";
import { isNetnsFile } from "../gc.ts";
import type { Recorded } from "./attachments.ts";

/** Why nothing may be removed without `--force`: who would be cut off; and what to do about it first. */
export interface Obstacle {
  readonly reason: string;
  readonly advice: string;
}

/** Pods that are named; a node has at most some hundred. */
const MOST_NAMED = 10;

/** `unseen`: why links or attachments could not be looked at. */
export function describeUnseen(unseen: readonly string[]): Obstacle[] {
  if (unseen.length === 0) return [];
  const reason = `whether pods are attached to minicni can't be seen: ${unseen.join("; ")}`;
  return [{ reason, advice: "see why (is this root?), or go on by --force" }];
}

/**
 * Half of the work could not be done. That there are tables of nftables only the records tell where there is no nft, so
 * that these must not go first.
 */
export function describeMissing(host: Host, steps: Plan, recorded: readonly Recorded[]): Obstacle[] {
  const needsIp = steps.some(({ op }) => /^(link|route)\.del$/.test(op));
  const made = recorded.filter(({ record }) => record?.masquerade === "nftables" || record?.spoofCheck);
  const networks = [...new Set(made.map(({ key }) => key.network))].join(", ");
  const missing = [
    ...(needsIp && host.findProgram("ip") === null ? [["ip", "iproute2", ""]] : []),
    ...(networks !== "" && host.findProgram("nft") === null
      ? [["nft", "nftables", ` for the tables of ${networks}`]]
      : []),
  ];
  return missing.map(([program, name, why]) => ({
    reason: `no ${program} on the PATH${why}`,
    advice: `install ${name}, or use that of minicni's image`,
  }));
}

/** The agent's conflist tells where the state is that belongs to it, and its agent's lock. */
export function describeOtherState(configs: readonly ConfFile[], stateDir: string): Obstacle[] {
  const named = ownStateDir(configs);
  if (named === null || named === stateDir) return [];
  return [
    {
      reason: `${CONFLIST_FILE} names the state folder ${named}`,
      advice: `say --state-dir ${quoteWord(named)}`,
    },
  ];
}

/** The pods that live. */
export function describePods(
  host: Host,
  recorded: readonly Recorded[],
  links: readonly ObservedLink[],
): Obstacle[] {
  const live = describeLive(host, recorded, links);
  if (live.length === 0) return [];
  const more = live.length > MOST_NAMED ? `, and ${live.length - MOST_NAMED} more` : "";
  const reason = `attached to minicni: ${live.slice(0, MOST_NAMED).join(", ")}${more}`;
  const advice = "drain the node first (kubectl drain NODE --ignore-daemonsets), or cut them off by --force";
  return [{ reason, advice }];
}

/** Whoever is on our bridge besides pods, as those of Go minicni. */
export function describePorts(links: readonly ObservedLink[]): Obstacle[] {
  return foreignPorts(links).map((port) => ({
    reason: `${port} is a port of ${DEFAULT_BRIDGE} and not minicni's`,
    advice: `take it off first (ip link set dev ${port} nomaster), or cut it off by --force`,
  }));
}

/** Alive, in words: what has a link, or a namespace that is there under a name of its own. */
function describeLive(host: Host, recorded: readonly Recorded[], links: readonly ObservedLink[]): string[] {
  const veths = podLinks(links);
  const veth = ({ network, containerId, ifname }: AttachmentKey) =>
    hostVethName(network, containerId, ifname);
  const hasLink = (key: AttachmentKey) => veths.some(({ name }) => name === veth(key));
  const live = recorded.flatMap(({ key, record }) => {
    const hasNetns =
      record !== null &&
      record.bootId === host.bootId() &&
      isNetnsFile(record) &&
      mayBeNetns(record.netns, host);
    if (!hasNetns && !hasLink(key)) return [];
    return [`${formatKey(key)} (${record?.netns || veth(key)})`];
  });
  const known = new Set(recorded.map(({ key }) => veth(key)));
  const unknown = veths.filter(({ name }) => !known.has(name));
  return [
    ...live,
    ...unknown.map(({ name, alias }) => {
      const key = parseVethAlias(alias);
      return key === null ? name : `${formatKey(key)} (${name})`;
    }),
  ];
}

/** What can't be looked at (EACCES: a file under a mount that a container does not have) may well be one. */
function mayBeNetns(path: string, host: Host): boolean {
  try {
    return host.isNetns(path);
  } catch {
    return true;
  }
}
