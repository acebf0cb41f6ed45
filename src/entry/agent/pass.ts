import { messageOf, OverdueError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { formatAddress } from "../../net/address.ts";
import type { ClusterNode, NodeSnapshot } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import type { Plan } from "../../plan/step.ts";
import { CONFLIST_FILE } from "../../topology/conflist.ts";
import type { Path } from "../../topology/path.ts";
import type { TunnelDevice } from "../../topology/tunnel.ts";
import { findPublished, nodePath } from "../node.ts";
import { findBlock } from "./blocking.ts";
import type { BridgeReport } from "./bridge.ts";
import type { Health } from "./health.ts";
import type { Journal } from "./journal.ts";
import { describeSource, findSelf, type Known } from "./known.ts";
import type { Cause, Metrics } from "./metrics.ts";
import { describeMtuFault } from "./mtu.ts";
import type { Network, NetworkOutcome } from "./network.ts";
import type { OffloadProbe, ProbedTunnel } from "./offload.ts";
import type { Publisher } from "./publish.ts";
import type { Reporter } from "./reporter.ts";
import type { Rules } from "./rules.ts";
import { createRulesWish } from "./rules-wish.ts";
import type { AgentSettings } from "./settings.ts";
import { createSteady } from "./steady.ts";
import { stepsDone } from "./summary.ts";
import { tellBridge, tellNetwork, tellNodes, tellRules } from "./tell.ts";
import { isHint, type Reason } from "./wakeups.ts";

/** What a pass works with. */
export interface Parts {
  readonly host: Host;
  readonly network: Network;
  readonly rules: Rules;
  readonly bridge: { pass(): Promise<BridgeReport> };
  readonly offload: OffloadProbe | null;
  readonly publisher: Publisher;
  readonly journal: Journal;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Absent: nobody keeps a report. */
  readonly report?: Pick<Reporter, "network" | "rules">;
  /** Monotonic milliseconds; by default the process's own clock. */
  readonly now?: () => number;
}

/** For `--once`, and for when to look again. */
export interface PassReport {
  /** What was changed, refused steps and bridges apart; in a dry run, what would be. */
  readonly plan: Plan;
  /** Something is not as it should be; the next pass may do better. */
  readonly hasFailed: boolean;
}

/** A pass over everything; the loop runs one at a time. */
export interface Pass {
  /** `reasons`: why now. For the kernel's hints alone, rules, files and (but for "bridge") the bridge are left out. */
  run(known: Known, reasons: ReadonlySet<Reason>): Promise<PassReport>;
}

/** What rules and node.json go by: what the last network pass found; kept until the next one. */
interface Served {
  readonly snapshot: NodeSnapshot;
  readonly paths: readonly Path[];
  readonly mtu: number;
}

/** One object, so that what depends on it is not made anew each time. */
const NO_PATHS: readonly Path[] = [];

export function createPass(settings: AgentSettings, parts: Parts): Pass {
  const { host, publisher, journal, health } = parts;
  let seen: NodeSnapshot | null = null;
  let served: Served | null = null;
  /** Whether the last whole pass came to its end with everything in place. */
  let isGood = false;
  const steadyMtu = createSteady<number>(parts.now ?? (() => performance.now()));
  const wishOf = createRulesWish(settings);

  /** Pods may have come to this node in this boot. */
  const isServing = () => findPublished(settings.stateDir, host)?.notReady === null;

  /** Pods of a node that worked go on: what was published as ready in this boot stays. */
  const refuse = (reason: string) => {
    health.set("published", reason);
    if (settings.dryRun || isServing()) return;
    const nothing = { podCidrs: [], clusterCidrs: [], mtu: 0, backend: settings.backend };
    journal.state("node.json", publisher.node({ ready: false, reason, ...nothing }).fault);
  };

  const runNetwork = async (
    known: Known & { snapshot: NodeSnapshot },
    self: ClusterNode,
    cause: Cause,
    mayReuse: boolean,
  ) => {
    let outcome: NetworkOutcome;
    try {
      const isFresh = () => !isServing();
      const wish = { snapshot: known.snapshot, self, isLive: known.isLive, isFresh };
      outcome = await parts.network.resync(wish, mayReuse);
    } catch (error) {
      if (error instanceof OverdueError) throw error;
      return { plan: [], fault: messageOf(error), block: messageOf(error), isHeld: false };
    }
    const failed = tellNetwork(outcome, cause, parts);
    const block = findBlock(outcome);
    const { snapshot } = known;
    const tell = () => parts.report?.network({ snapshot, self, outcome, mtu: served?.mtu ?? 0 });
    const done = { plan: stepsDone(outcome.plan, outcome.failures), fault: block ?? failed, block };
    if (outcome.isHeld) {
      tell();
      return { ...done, isHeld: true };
    }
    const { devices, mtu, paths } = outcome;
    if (!settings.dryRun) parts.offload?.resync(probedTunnels(devices, host));
    // While peers that the list does not have keep their routes, they keep their place in the rules.
    const held = known.isLive && outcome.withheld > 0 ? served : null;
    served = {
      ...(held ?? { snapshot, paths }),
      mtu: settings.mtu === 0 ? steadyMtu(mtu) : settings.mtu,
    };
    tell();
    return { ...done, isHeld: false };
  };

  /** What it meets must not keep the rest from being published. */
  const repairBridge = async (): Promise<BridgeReport> => {
    try {
      return await parts.bridge.pass();
    } catch (error) {
      return { changes: [], faults: [messageOf(error)] };
    }
  };

  const runRules = async (snapshot: NodeSnapshot, self: ClusterNode, cause: Cause) => {
    const { wish, uncovered } = wishOf(served?.snapshot ?? snapshot, self, served?.paths ?? NO_PATHS);
    const began = performance.now();
    const outcome = await parts.rules.resync(wish, { isDryRun: settings.dryRun });
    parts.report?.rules(wish, outcome, uncovered);
    const fault = tellRules(outcome, uncovered, cause, performance.now() - began, parts);
    return { plan: outcome.plan, fault };
  };

  /** Last of all: from now on pods come to this node. */
  const publish = (self: ClusterNode, { snapshot, paths, mtu }: Served, cause: Cause): string | null => {
    const { backend } = settings;
    const { podCidrs, clusterCidrs } = wishOf(snapshot, self, paths).wish;
    const node = { podCidrs, mtu, backend, clusterCidrs };
    const published = publisher.node({ ready: true, reason: null, ...node });
    if (published.changed) parts.metrics.repair("node_json", cause, nodePath(settings.stateDir));
    const conflist = published.fault === null ? publisher.conflist() : null;
    if (conflist?.changed === true) {
      parts.metrics.repair("conflist", cause, `${settings.confDir}/${CONFLIST_FILE}`);
      journal.info("published", {
        cause,
        podCidrs: podCidrs.map(formatPrefix).join(),
        mtu,
        conflist: settings.confDir,
      });
    }
    journal.state("node.json", null);
    journal.state("foreign configuration", beforeOurs(conflist?.before ?? []));
    return published.fault ?? conflist?.fault ?? null;
  };

  return {
    run: async (known, reasons) => {
      const { snapshot } = known;
      const source = describeSource(known);
      const self = findSelf(known, settings.node);
      const selfFault = typeof self === "string" ? self : null;
      journal.state("nodes", source);
      journal.state("self", snapshot === null ? null : selfFault);
      health.set("nodes", source ?? selfFault);
      if (typeof self === "string" || snapshot === null) {
        refuse(selfFault ?? "no Nodes yet");
        return { plan: [], hasFailed: true };
      }
      const cause = seen === null ? "start" : seen === snapshot ? "kernel" : "nodes";
      if (seen !== snapshot) tellNodes(snapshot, parts);
      seen = snapshot;
      // By the kernel's own hints nothing else has changed.
      const mayReuse = reasons.size === 1 && reasons.has("nodes");
      const network = await runNetwork({ ...known, snapshot }, self, cause, mayReuse);
      health.set("routes", network.fault);
      if (network.isHeld) {
        health.set("rules", "not begun: see routes");
        refuse(network.block ?? "this node can't forward");
        return { plan: network.plan, hasFailed: true };
      }
      // What was wrong until now may have kept the rest from being done.
      const isWhole = !isGood || network.block !== null || ![...reasons].every(isHint);
      if (!isWhole) {
        if (reasons.has("bridge")) tellBridge(await repairBridge(), parts);
        return { plan: network.plan, hasFailed: false };
      }
      const rules = await runRules(snapshot, self, cause);
      health.set("rules", rules.fault);
      const mtu = served === null ? null : describeMtuFault(served.mtu, settings.mtu, self.podCidrs);
      journal.state("mtu", mtu);
      const block = network.block ?? mtu ?? rules.fault;
      if (settings.dryRun) return { plan: [...network.plan, ...rules.plan], hasFailed: block !== null };
      tellBridge(await repairBridge(), parts);
      // Once good, pods may come even while something is being repaired: those that are there live with it as well.
      const mayGoOn = mtu === null && isServing();
      isGood = block === null;
      let unpublished: string | null = null;
      if (served === null || (block !== null && !mayGoOn)) refuse(block ?? "no pass has succeeded yet");
      else {
        unpublished = publish(self, served, cause);
        health.set("published", unpublished);
        journal.state("published", unpublished);
      }
      const fault = network.fault ?? mtu ?? rules.fault ?? unpublished;
      if (fault === null) parts.metrics.synced();
      return { plan: [...network.plan, ...rules.plan], hasFailed: fault !== null };
    },
  };
}

/** The devices as the offload test wants them; those without an address of ours can't be tested. */
function probedTunnels(devices: readonly TunnelDevice[], host: Host): ProbedTunnel[] {
  return devices.flatMap(({ link: { name, local, mtu }, addresses: [own], peers: all }): ProbedTunnel[] => {
    const link = host.link(name);
    if (link === null || own === undefined) return [];
    const { family } = own.address;
    const peers = all.filter((address) => address.family === family);
    return [{ name, index: link.index, underlay: formatAddress(local), mtu, self: own.address, peers }];
  });
}

function beforeOurs(files: readonly string[]): string | null {
  if (files.length === 0) return null;
  return `a runtime takes the first configuration by name, which is not ours: ${files.join(", ")}`;
}
