import { DEFAULT_BRIDGE, delegateOf } from "../../../cni/config.ts";
import { messageOf } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import { recordedAttachments } from "../../../host/records.ts";
import type { Family } from "../../../net/address.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import { ROUTE_PROTOCOL } from "../../../plan/step.ts";
import { OWN_NETWORK } from "../../../topology/conflist.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import { countAddresses } from "../../addresses.ts";
import { knownNetworks } from "../../agent/networks.ts";
import { type AgentReport, readReport, reportPath } from "../../agent/report.ts";
import { configuredRanges } from "../../desired.ts";
import { findNode } from "../../node.ts";
import { VERSION } from "../../version.ts";
import { judgeLife, observeLock } from "./life.ts";
import type { MissingRoute, SeenLink, SeenNode, SeenPublication, SeenRange } from "./seen.ts";

/** Where to look. */
export interface StatusPlaces {
  readonly stateDir: string;
  readonly confDir: string;
  /** Name of this Node; null: as the agent has it. */
  readonly node: string | null;
}

/** Looks at this node; what can't be seen is named, and keeps nothing else from being seen. Changes nothing. */
export async function collectNode(places: StatusPlaces, machine: Host, now: Date): Promise<SeenNode> {
  const unseen: string[] = [];
  // What reading meets goes into what was not seen; not to stderr besides.
  const host = { ...machine, log: () => undefined };
  const look = <T>(what: string, otherwise: T, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      unseen.push(`${what}: ${messageOf(error)}`);
      return otherwise;
    }
  };
  const { stateDir } = places;
  const told = readReport(stateDir, host);
  const isReadable = told.report !== null || isAbsent(stateDir, host);
  if (!isReadable && told.fault !== null) unseen.push(told.fault);
  const { isLocked, why } = await observeLock(stateDir, host);
  if (why !== null) unseen.push(`whether an agent runs: ${why}`);
  const bootId = look("the boot ID", null, () => host.bootId());
  const life = judgeLife(told.report, { isLocked, bootId, nowMs: now.getTime(), isReadable });
  const report = life === "absent" ? null : told.report;
  const kernel = look("routes", null, () => observeRoutes(host));
  return {
    takenAt: now.toISOString(),
    minicni: VERSION,
    node: places.node ?? told.report?.settings.node ?? null,
    agent: { life, fault: told.fault, isLocked },
    report,
    published: look("node.json", null, () => observePublication(stateDir, host)),
    links: look("links", null, () => observeOwnLinks(host)),
    routes: kernel === null ? null : kernel.counts,
    missing: kernel === null || report === null ? [] : findMissing(report, kernel.destinations),
    ranges: look("addresses in use", [], () => observeRanges(places, host, unseen)),
    attachments: look("attachments", null, () => countAttachments(stateDir, host)),
    unseen,
  };
}

/** Whether nobody has written a report, as far as can be seen. */
function isAbsent(stateDir: string, host: Pick<Host, "isFile">): boolean {
  try {
    return !host.isFile(reportPath(stateDir));
  } catch {
    return false;
  }
}

function observePublication(stateDir: string, host: Host): SeenPublication | null {
  const node = findNode(stateDir, host);
  return node === null ? null : { podCidrs: node.podCidrs, mtu: node.mtu, notReady: node.notReady };
}

function observeOwnLinks(host: Pick<Host, "link">): SeenLink[] {
  return [DEFAULT_BRIDGE, ...Object.values(TUNNEL_NAMES)].flatMap((name) => {
    const link = host.link(name);
    return link === null ? [] : [{ name, isUp: link.up, mtu: link.mtu }];
  });
}

/** Routes with our mark in the main table. */
export function observeRoutes(host: Pick<Host, "routeTable">) {
  const table = host.routeTable();
  const counts: Record<Family, number> = { 4: 0, 6: 0 };
  /** Index of the link by destination. */
  const destinations = new Map<string, number>();
  for (let index = 0; index < table.count; index++) {
    const { dst, protocol, ifindex } = table.at(index);
    if (protocol !== ROUTE_PROTOCOL) continue;
    counts[dst.address.family] += 1;
    destinations.set(formatPrefix(dst), ifindex);
  }
  return { counts, destinations };
}

/** A peer without a way has no route to miss. */
function findMissing({ peers }: AgentReport, there: ReadonlyMap<string, number>): MissingRoute[] {
  return peers.flatMap(({ name, path, podCidrs }) =>
    path === "none" ? [] : podCidrs.filter((dst) => !there.has(dst)).map((dst) => ({ peer: name, dst })),
  );
}

/** The ranges of every network whose addresses the built-in store manages; our own first. */
function observeRanges({ stateDir, confDir }: StatusPlaces, host: Host, unseen: string[]): SeenRange[] {
  const { networks, faults } = knownNetworks(host, { stateDir, confDir });
  unseen.push(...faults);
  const isOwn = (name: string) => name === OWN_NETWORK;
  const sorted = [...networks].sort((a, b) => Number(isOwn(b.conf.network)) - Number(isOwn(a.conf.network)));
  return sorted.flatMap(({ conf, file }) => {
    if ((file === null && !isOwn(conf.network)) || delegateOf(conf) !== null) return [];
    try {
      const sets = configuredRanges(conf, () => findNode(stateDir, host)?.podCidrs ?? []);
      const use = countAddresses(host, conf.dataDir, conf.network, sets);
      return use.map((range) => ({ network: conf.network, ...range }));
    } catch (error) {
      unseen.push(`addresses of ${conf.network}: ${messageOf(error)}`);
      return [];
    }
  });
}

function countAttachments(stateDir: string, host: Host): NonNullable<SeenNode["attachments"]> {
  return host.listFolder(`${stateDir}/attachments`).flatMap((network) => {
    const count = recordedAttachments(host, stateDir, network).length;
    return count === 0 ? [] : [{ network, count }];
  });
}
