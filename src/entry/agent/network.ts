import type { Host, StepFailure } from "../../host/machine.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import type { ClusterNode, NodeFault, NodeSnapshot } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import { planRoutes, type RouteConflict } from "../../plan/route-diff.ts";
import type { ObservedLink } from "../../plan/state.ts";
import type { Plan } from "../../plan/step.ts";
import type { Backend, Path } from "../../topology/path.ts";
import {
  planTunnel,
  planTunnelRemoval,
  TUNNEL_NAMES,
  type TunnelDevice,
  type TunnelSettings,
  tunnelConflict,
} from "../../topology/tunnel.ts";
import { planTunnelChange, planTunnelPeers } from "../../topology/tunnel-peers.ts";
import { createRouteDiff } from "../../wasm/routes.ts";
import { isForwarding, planMissingForwarding } from "../forwarding.ts";
import { createDerived, type DerivedPaths, type TunnelIndexes } from "./derived.ts";
import { createLookups } from "./lookups.ts";
import { ETHERNET_MTU, leastMtu } from "./mtu.ts";
import { type Observation, observe } from "./observation.ts";
import { createRemovalGuard } from "./removals.ts";
import { findWaiting } from "./waiting.ts";

/** What a pass is to make true. */
export interface NetworkWish {
  readonly snapshot: NodeSnapshot;
  readonly self: ClusterNode;
  /** The snapshot is a complete list of a live source: what it does not have is gone. */
  readonly isLive: boolean;
  /**
   * Whether no pod depends on this node yet: where it can't forward it is to be left as it was. Asked only then. Absent:
   * false.
   */
  readonly isFresh?: () => boolean;
}

/** What a pass found and did. */
export interface NetworkOutcome {
  /** All steps, also those that failed; in a dry run none was executed. */
  readonly plan: Plan;
  /** Nothing but forwarding was tried, which failed. */
  readonly isHeld: boolean;
  readonly failures: readonly StepFailure[];
  /** Of single peers; the others are as they should be. */
  readonly peerFaults: readonly NodeFault[];
  /** Tunnel devices that can't be made; the peers behind them are not reached. */
  readonly deviceFaults: readonly string[];
  /** Node addresses that no link has: some clouds translate them. */
  readonly addressFaults: readonly string[];
  readonly conflicts: readonly RouteConflict[];
  /** Routes of ours that are not desired and were left: the list is not complete, or suspiciously short. */
  readonly withheld: number;
  readonly paths: readonly Path[];
  readonly desired: ReadonlyMap<Family, number>;
  readonly programmed: ReadonlyMap<Family, number>;
  readonly devices: readonly TunnelDevice[];
  /** Bytes that fit into every way in use. */
  readonly mtu: number;
  /** Milliseconds by part. */
  readonly times: Readonly<Record<"observe" | "diff" | "execute", number>>;
}

/** Stand for the tunnel devices that a dry run does not make; no kernel gives such an index. */
const UNMADE = { 4: 0x7ffffffe, 6: 0x7fffffff } as const;

/** The network part of a pass: links, addresses, tunnel endpoints and routes of one node. */
export interface Network {
  /**
   * `mayReuse`: nothing has changed in the kernel since the last pass, as far as its hints tell; what that one saw will
   * do. A look at the kernel is most of what a pass costs.
   */
  resync(wish: NetworkWish, mayReuse?: boolean): Promise<NetworkOutcome>;
  /** A policy rule changed: how peers are reached must be asked again. */
  forgetLookups(): void;
}

/** `now`: monotonic milliseconds. What follows from an unchanged snapshot is kept between passes. */
export function createNetwork(
  settings: { readonly backend: Backend; readonly tunnel: TunnelSettings; readonly dryRun: boolean },
  host: Host,
  now: () => number,
): Network {
  const lookups = createLookups(host, now);
  const engine = createRouteDiff();
  const guard = createRemovalGuard(now);
  const derived = createDerived(settings.backend);
  let last: { readonly seen: Observation; readonly devices: readonly TunnelDevice[] } | null = null;

  const resync = async (wish: NetworkWish, mayReuse = false): Promise<NetworkOutcome> => {
    const { self, snapshot } = wish;
    const run = createRun(settings.dryRun, host, now);
    const settled = mayReuse ? last : null;
    const before = settled?.seen ?? observe(host);
    last = null;
    const underlay = before.underlay(self);
    const reach = lookups.of(snapshot.nodes, before.routes, before.links);
    run.lap("observe");

    const known = derived.paths(snapshot, self, reach);
    const underlayMtu = (family: Family) => underlay.links.get(family)?.mtu ?? ETHERNET_MTU;
    const described =
      settings.backend === "host-gw" ? [] : derived.tunnels(self, known, settings.tunnel, underlayMtu);
    const { usable, conflicts: foreign } = chooseDevices(described, before);
    const families = new Set(self.podCidrs.map(({ address }) => address.family));
    const tunnels = usable.flatMap((device) => planTunnel(device, before.tunnel(device.link.name)));
    const forwarding = planMissingForwarding(families, host);
    run.lap("diff");
    await run.execute(forwarding);
    if (run.failures.some(({ step }) => isForwarding(step)) && wish.isFresh?.() === true)
      return { ...NOTHING, ...run, isHeld: true, desired: known.desired };
    await run.execute(tunnels);

    const seen = tunnels.length + forwarding.length === 0 ? before : observe(host);
    const naming = nameLinks(seen.links, usable, settings.dryRun);
    run.lap("observe");
    const endpoints = usable.map((device) => {
      const { name } = device.link;
      const then = seen === before ? settled?.devices.find(({ link }) => link.name === name) : undefined;
      if (then !== undefined) return planTunnelChange(device, then);
      const observed = { forwarding: seen.forwarding(name), neighbours: seen.neighbours(name) };
      return planTunnelPeers(device, observed);
    });
    const desired = derived.table(known, naming.tunnels);
    const changes = engine.diff(desired, seen.routes);
    const mayRemove = wish.isLive && guard.allows(changes, seen.routes);
    const routes = planRoutes(changes, desired, seen.routes, naming.nameOf, mayRemove);
    const waiting = findWaiting(known, reach);
    const unused = seen.links.filter(({ name }) => !usable.some(({ link }) => link.name === name));
    const steps = [
      ...endpoints.flatMap(({ additions }) => additions.forwarding),
      ...endpoints.flatMap(({ additions }) => additions.neighbours),
      ...routes.plan.filter((step) => !waiting.isFor(step)),
      ...(mayRemove
        ? [
            ...endpoints.flatMap(({ deletions }) => deletions.neighbours),
            ...endpoints.flatMap(({ deletions }) => deletions.forwarding),
          ]
        : []),
      // That the backend is another one does not depend on who is in the list.
      ...(wish.isLive ? planTunnelRemoval(unused) : []),
    ];
    run.lap("diff");
    await run.execute(steps);
    if (run.plan.length === 0) last = { seen, devices: usable };
    return {
      ...run,
      isHeld: false,
      peerFaults: [...known.faults, ...waiting.faults],
      deviceFaults: foreign,
      addressFaults: underlay.faults,
      conflicts: routes.conflicts,
      withheld: routes.withheld,
      paths: known.paths,
      desired: known.desired,
      programmed: countProgrammed(known, naming.tunnels, run.failures, routes.conflicts),
      devices: usable,
      mtu: leastMtu(known.paths, usable, underlay.links),
    };
  };
  return { resync, forgetLookups: lookups.forget };
}

/** Of a node that was left as it was. */
const NOTHING = {
  peerFaults: [],
  deviceFaults: [],
  addressFaults: [],
  conflicts: [],
  withheld: 0,
  paths: [],
  programmed: new Map(),
  devices: [],
  mtu: ETHERNET_MTU,
};

/** Steps, failures and times of one pass. */
function createRun(isDryRun: boolean, host: Host, now: () => number) {
  const plan: Plan[number][] = [];
  const failures: StepFailure[] = [];
  const times = { observe: 0, diff: 0, execute: 0 };
  let mark = now();
  const lap = (part: keyof typeof times) => {
    times[part] += now() - mark;
    mark = now();
  };
  const execute = async (steps: Plan) => {
    if (steps.length === 0) return;
    plan.push(...steps);
    mark = now();
    if (!isDryRun) failures.push(...(await host.executeEach(steps)));
    lap("execute");
  };
  return { plan, failures, times, lap, execute };
}

function chooseDevices(devices: readonly TunnelDevice[], seen: Observation) {
  const usable: TunnelDevice[] = [];
  const conflicts: string[] = [];
  for (const device of devices) {
    const conflict = tunnelConflict(device, seen.tunnel(device.link.name));
    if (conflict === null) usable.push(device);
    else conflicts.push(conflict);
  }
  return { usable, conflicts };
}

/** A link of another kind by a tunnel's name gets no route. */
function nameLinks(links: readonly ObservedLink[], devices: readonly TunnelDevice[], isDryRun: boolean) {
  const names = new Map(links.map(({ index, name }) => [index, name] as const));
  const indexOf = (family: Family) => {
    if (!devices.some(({ underlay }) => underlay === family)) return null;
    const made = links.find(({ name }) => name === TUNNEL_NAMES[family])?.index;
    return made ?? (isDryRun ? UNMADE[family] : null);
  };
  const tunnels = { 4: indexOf(4), 6: indexOf(6) };
  for (const family of FAMILIES) {
    const index = tunnels[family];
    if (index !== null) names.set(index, TUNNEL_NAMES[family]);
  }
  return { tunnels, nameOf: (index: number) => names.get(index) ?? null };
}

/** Desired routes that are in the kernel now: all but those without a device, whose step failed, or behind a foreign one. */
function countProgrammed(
  { desired, paths }: DerivedPaths,
  tunnels: TunnelIndexes,
  failures: readonly StepFailure[],
  conflicts: readonly RouteConflict[],
): ReadonlyMap<Family, number> {
  const missing = new Set(conflicts.map(({ dst }) => formatPrefix(dst)));
  for (const { step } of failures) if (step.op === "route.replace") missing.add(formatPrefix(step.route.dst));
  const left = new Map(desired);
  const hasNoDevice = (path: Path) => path.kind === "tunnel" && tunnels[path.underlay] === null;
  for (const path of paths) {
    const { family } = path.dst.address;
    const isMissing = hasNoDevice(path) || (missing.size > 0 && missing.has(formatPrefix(path.dst)));
    if (isMissing) left.set(family, (left.get(family) ?? 0) - 1);
  }
  return left;
}
