import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import type { Family } from "../../net/address.ts";
import { type Prefix, parsePrefix } from "../../net/prefix.ts";
import { formatStep } from "../../plan/format.ts";
import type { Plan, Step } from "../../plan/step.ts";
import { CONFLIST_FILE, formatConflist } from "../../topology/conflist.ts";
import { type BridgeReport, createBridgeRepair } from "../agent/bridge.ts";
import { watchForwardBlocks } from "../agent/forward-blocks.ts";
import { findSelf } from "../agent/known.ts";
import { describeMtuFault } from "../agent/mtu.ts";
import { createNetwork, type NetworkOutcome } from "../agent/network.ts";
import { formatState, readOrNull } from "../agent/publish.ts";
import type { AgentReport } from "../agent/report.ts";
import { createRules, type RulesOutcome } from "../agent/rules.ts";
import { createRulesWish } from "../agent/rules-wish.ts";
import type { AgentSettings } from "../agent/settings.ts";
import { nodePath } from "../node.ts";
import type { KnownCluster } from "./nodes.ts";
import { noteSteps } from "./note-steps.ts";

/** What a pass goes by. */
export type PassSettings = Pick<
  AgentSettings,
  | "backend"
  | "vni"
  | "vxlanPort"
  | "clusterCidrs"
  | "nonMasqueradeCidrs"
  | "masquerade"
  | "masqueradeNodes"
  | "mtu"
  | "stateDir"
  | "confDir"
>;

/** One step as it would be run. */
export interface DryStep {
  readonly op: Step["op"];
  readonly part: "network" | "rules" | "bridge" | "files";
  /** As it can be pasted; of a rule loader with its input as here-document. */
  readonly command: string;
  readonly why: string;
}

/** What a pass of the agent would do now; nothing of it was done. JSON as it is. */
export interface DryPass {
  readonly node: string;
  /** The list of Nodes is one of now: what it does not have may be removed. */
  readonly isLive: boolean;
  readonly steps: readonly DryStep[];
  /** Foreign routes in the place of ours, with their owners and what to do. */
  readonly conflicts: readonly string[];
  /** Routes of ours that no Node accounts for, left since the list is not live or suddenly short. */
  readonly withheld: number;
  /** Peers that are not reached, and why. */
  readonly peers: readonly { readonly node: string; readonly message: string }[];
  /** Tunnel devices, node addresses, MTU, bridges of others: what is wrong beside the steps. */
  readonly faults: readonly string[];
  readonly routes: readonly {
    readonly family: Family;
    readonly desired: number;
    readonly programmed: number;
  }[];
  readonly rules: {
    readonly variant: "nft" | "legacy" | null;
    readonly changes: readonly { readonly family: Family; readonly chain: string; readonly what: string }[];
    readonly faults: readonly string[];
    readonly warnings: readonly string[];
    /** Foreign nftables chains that drop pods' packets whatever ours accept. */
    readonly blocks: readonly string[];
  };
}

/** The settings of the agent that wrote a report. */
export function settingsOfReport({ settings }: AgentReport): PassSettings {
  const prefixes = (texts: readonly string[]): Prefix[] => texts.flatMap((text) => parsePrefix(text) ?? []);
  return {
    ...settings,
    clusterCidrs: prefixes(settings.clusterCidrs),
    nonMasqueradeCidrs: prefixes(settings.nonMasqueradeCidrs),
  };
}

/**
 * One pass of the agent that changes nothing: the same looks and the same decisions, so that what it finds is what a
 * running agent would do. Returns why there is none where the own Node is not known. Throws what the machine says.
 */
export async function dryPass(
  node: string,
  settings: PassSettings,
  { snapshot, isLive, fault }: KnownCluster,
  host: Host,
): Promise<DryPass | string> {
  const self = findSelf({ snapshot, isLive, fault }, node);
  if (typeof self === "string" || snapshot === null) return typeof self === "string" ? self : "no Nodes";
  const now = () => performance.now();
  const tunnel = { vni: settings.vni, port: settings.vxlanPort };
  const network = createNetwork({ backend: settings.backend, dryRun: true, tunnel }, host, now);
  const outcome = await network.resync({ snapshot, self, isLive });
  const { wish, uncovered } = createRulesWish(settings)(snapshot, self, outcome.paths);
  const rules = await watchForwardBlocks(createRules(host, now), host, now).resync(wish, { isDryRun: true });
  const bridge = await planBridge(settings, host);
  const mtu = settings.mtu === 0 ? outcome.mtu : settings.mtu;
  const state = {
    ready: true,
    reason: null,
    podCidrs: wish.podCidrs,
    clusterCidrs: wish.clusterCidrs,
    mtu,
    backend: settings.backend,
  };
  return {
    node,
    isLive,
    steps: [
      ...outcome.plan.map((step) => dryStep("network", step)),
      ...rules.plan.map((step) => dryStep("rules", step)),
      ...bridge.steps.map((step) => dryStep("bridge", step)),
      ...fileSteps(settings, formatState(state, host), host),
    ],
    conflicts: outcome.conflicts.map(({ message }) => message),
    withheld: outcome.withheld,
    peers: outcome.peerFaults,
    faults: [
      ...faultsOf(outcome, describeMtuFault(mtu, settings.mtu, self.podCidrs), uncovered),
      ...bridge.faults,
    ],
    routes: [...outcome.desired].map(([family, desired]) => ({
      family,
      desired,
      programmed: Math.max(0, desired - missing(outcome.plan, family) - lost(outcome, family)),
    })),
    rules: describeRules(rules),
  };
}

/** What the pods' bridge and its ports lack. */
async function planBridge(
  settings: PassSettings,
  machine: Host,
): Promise<{ readonly steps: readonly Step[]; readonly faults: BridgeReport["faults"] }> {
  const { host, steps } = noteSteps(machine);
  try {
    const { faults } = await createBridgeRepair(host, settings).pass();
    return { steps, faults };
  } catch (error) {
    // As in a pass of the agent: it keeps nothing else from being planned.
    return { steps, faults: [`the pods' bridge: ${messageOf(error)}`] };
  }
}

function dryStep(part: DryStep["part"], step: Step): DryStep {
  return { op: step.op, part, command: formatStep(step), why: step.why };
}

function missing(plan: Plan, family: Family): number {
  return plan.filter((step) => step.op === "route.replace" && step.route.dst.address.family === family)
    .length;
}

/** Desired ones that no step brings: behind a foreign route, or without a device. */
function lost({ desired, programmed }: NetworkOutcome, family: Family): number {
  return (desired.get(family) ?? 0) - (programmed.get(family) ?? 0);
}

function faultsOf(outcome: NetworkOutcome, mtu: string | null, uncovered: string | null): string[] {
  return [
    ...outcome.addressFaults,
    ...outcome.deviceFaults,
    ...[mtu, uncovered].filter((one) => one !== null),
  ];
}

function describeRules({
  variant,
  changes,
  faults,
  warnings,
  forwardBlocks,
}: RulesOutcome): DryPass["rules"] {
  return {
    variant: variant ?? null,
    changes: changes.map(({ family, chain, what }) => ({ family, chain, what })),
    faults,
    warnings,
    blocks: forwardBlocks ?? [],
  };
}

/** Files that the agent would write anew. */
function fileSteps({ stateDir, confDir }: PassSettings, state: string, host: Host): DryStep[] {
  const conflist = `${confDir}/${CONFLIST_FILE}`;
  const wanted = [
    { path: nodePath(stateDir), text: state, why: "what the plugin has to know of this node" },
    ...(confDir === ""
      ? []
      : [{ path: conflist, text: formatConflist(stateDir), why: "the network configuration" }]),
  ];
  return wanted
    .filter(({ path, text }) => readOrNull(path, host) !== text)
    .map(({ path, text, why }) => ({
      op: "file.install",
      part: "files",
      command: `cat >${path} <<'EOF'\n${text}EOF`,
      why,
    }));
}
